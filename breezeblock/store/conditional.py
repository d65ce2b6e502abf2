"""The compare-and-swap: one UPDATE that changes a row only if the row is what the caller believes it to be.

NULL behaves as Python's None does, not as SQL's NULL: ``Not("attached")`` matches a row whose column
is NULL, a collection that holds None matches NULL, ``Not(None)`` is IS NOT NULL, and
``Not((None, "a"))`` matches neither NULL nor "a". ``auto_none=False`` switches only the first off:
then a NULL column satisfies no ``Not``, as in SQL. (The semantics are those of OpenStack's
conditional updates, with the case of ``Not`` and None made exact.)

A guard must stand on the row that it guards. An EXISTS filter over another table is an additional
condition, never the only one: two transactions that each look at the other's table can both pass.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from breezeblock.store.transaction import Tx

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Not:
    """Expect anything but this value, or anything but the members of this collection."""

    value: Any


@dataclass(frozen=True, slots=True)
class Case:
    """A value chosen by the database: that of the first condition that holds, else ``else_``."""

    whens: Sequence[tuple[sa.ColumnElement[bool], Any]]
    else_: Any = None


def condition(column: sa.ColumnElement[Any], expected: Any, *, auto_none: bool = True) -> sa.ColumnElement[bool]:
    """The SQL of "``column`` is as ``expected``": a value, a collection, another column, or ``Not`` of one of these."""
    if isinstance(expected, Not):
        return _differs(column, expected.value, auto_none=auto_none)
    if isinstance(expected, sa.ColumnElement):
        return column.is_not_distinct_from(expected) if auto_none else column == expected
    if not _is_collection(expected):
        return column.is_(None) if expected is None else column == expected
    values = [value for value in expected if value is not None]
    if len(values) == len(expected):
        return column.in_(values) if values else sa.false()
    return sa.or_(column.is_(None), column.in_(values)) if values else column.is_(None)


def _differs(column: sa.ColumnElement[Any], value: Any, *, auto_none: bool) -> sa.ColumnElement[bool]:
    if isinstance(value, sa.ColumnElement):
        return column.is_distinct_from(value) if auto_none else column != value
    excluded = value if _is_collection(value) else (value,)
    values = [one for one in excluded if one is not None]
    if auto_none and len(values) == len(excluded):
        return sa.or_(column.is_(None), column.not_in(values)) if values else sa.true()
    return sa.and_(column.is_not(None), column.not_in(values)) if values else column.is_not(None)


def holds(expected: Any, actual: Any, *, auto_none: bool = True) -> bool:
    """The same question asked in Python, of a row that was read: for explanations. Not for columns and expressions."""
    if isinstance(expected, Not):
        excluded = expected.value if _is_collection(expected.value) else (expected.value,)
        if actual is None:
            return auto_none and None not in excluded
        return actual not in excluded
    if _is_collection(expected):
        return actual in expected
    return bool(actual == expected)


def conditional_update(
    tx: Tx,
    table: sa.Table,
    where_id: str | Mapping[str, Any],
    values: Mapping[str, Any],
    expected: Mapping[str, Any] = _NOTHING,
    filters: Iterable[sa.ColumnElement[bool]] = (),
    *,
    auto_none: bool = True,
    order: Sequence[str] = (),
) -> bool:
    """Set ``values`` on the row ``where_id`` if every condition of ``expected`` and ``filters`` holds; whether it did.

    ``where_id``: the id, or columns with plain values. ``values``: literals, columns and expressions of this table as they
    were before the update, or :class:`Case`. ``order``: columns to assign first, where the database assigns one after the other.
    An update that sets what is there already counts as success. Raises ValueError for a second table outside of a
    subquery, since such an UPDATE is not the same on every database; KeyError for a column that the table has not.
    """
    identity = where_id if isinstance(where_id, Mapping) else {"id": where_id}
    conditions = [table.c[name] == value for name, value in identity.items()]
    conditions += [condition(table.c[name], value, auto_none=auto_none) for name, value in expected.items()]
    filters = tuple(filters)
    conditions += filters
    expressions = {name: _expression(value) for name, value in values.items()}
    compared = (one.value if isinstance(one, Not) else one for one in expected.values())
    _refuse_other_tables(table, (*filters, *compared, *expressions.values()))
    assignments = [(table.c[name], expressions[name]) for name in _assignment_order(table, values, expressions, order)]
    return tx.execute(sa.update(table).where(*conditions).ordered_values(*assignments)).rowcount > 0


def _expression(value: Any) -> Any:
    return sa.case(*value.whens, else_=value.else_) if isinstance(value, Case) else value


def _assignment_order(table: sa.Table, values: Mapping[str, Any], expressions: Mapping[str, Any], order: Sequence[str]) -> list[str]:
    """The caller's order, then values that refer to columns, then Case, then plain ones; and none before another that reads its old value.

    MariaDB evaluates SET from left to right unless the session says SIMULTANEOUS_ASSIGNMENT, as ours do.
    """
    kinds = {name: 1 if isinstance(value, Case) else 0 if isinstance(value, sa.ClauseElement) else 2 for name, value in values.items()}
    waiting = sorted((name for name in values if name not in order), key=kinds.__getitem__)
    reads = {name: _columns_read(table, expressions[name]) for name in waiting if kinds[name] < 2}
    ordered = [name for name in order if name in values]
    while waiting:
        free = (name for name in waiting if not any(name in columns for reader, columns in reads.items() if reader != name))
        name = next(free, waiting[0])
        waiting.remove(name)
        reads.pop(name, None)
        ordered.append(name)
    return ordered


def _is_collection(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _columns_read(table: sa.Table, expression: Any) -> set[str]:
    return {column.key for column in _columns(expression, subqueries=True) if column.table is table}


def _refuse_other_tables(table: sa.Table, clauses: Iterable[Any]) -> None:
    columns = (column for clause in clauses if isinstance(clause, sa.ClauseElement) for column in _columns(clause, subqueries=False))
    others = {str(column.table) for column in columns if column.table is not table}
    if others:
        raise ValueError(f"an update of {table.name} names {', '.join(sorted(others))} outside of a subquery")


def _columns(clause: Any, *, subqueries: bool) -> Iterator[sa.Column[Any]]:
    """The columns of tables that stand in ``clause``."""
    if isinstance(clause, sa.Column):
        yield clause
    elif subqueries or not isinstance(clause, sa.SelectBase):
        for child in clause.get_children():
            yield from _columns(child, subqueries=subqueries)

"""The compare-and-swap: one UPDATE that changes a row only if the row is what the caller believes it to be.

NULL behaves as Python's None does, not as SQL's NULL: ``Not("attached")`` matches a row whose column
is NULL, a collection that holds None matches NULL, ``Not(None)`` is IS NOT NULL, and
``Not((None, "a"))`` matches neither NULL nor "a". ``auto_none=False`` switches only the first off:
then a NULL column satisfies no ``Not`` of plain values, as in SQL.
(Source of the semantics: OpenStack's conditional update of the 2015 Active-Active design.)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from breezeblock.store.engine import Tx


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
    found = column.in_(values) if values else sa.false()
    return sa.or_(column.is_(None), found) if len(values) < len(expected) else found


def _differs(column: sa.ColumnElement[Any], value: Any, *, auto_none: bool) -> sa.ColumnElement[bool]:
    if isinstance(value, sa.ColumnElement):
        return column.is_distinct_from(value) if auto_none else column != value
    excluded = value if _is_collection(value) else (value,)
    values = [one for one in excluded if one is not None]
    differs = column.not_in(values) if values else sa.true()
    if len(values) < len(excluded):
        return sa.and_(column.is_not(None), differs)
    if auto_none:
        return sa.or_(column.is_(None), differs)
    return sa.and_(column.is_not(None), differs) if not values else differs


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
    expected: Mapping[str, Any] = {},
    filters: Iterable[sa.ColumnElement[bool]] = (),
    *,
    auto_none: bool = True,
    order: Sequence[str] = (),
) -> bool:
    """Set ``values`` on the row ``where_id`` if every condition of ``expected`` and ``filters`` holds; whether it did.

    ``where_id``: the id, or columns with plain values. ``values``: literals, columns and expressions of this table as they
    were before the update, or :class:`Case`. ``order``: columns to assign first, where the database assigns one after the other.
    An update that changes nothing counts as success. Raises ValueError for a second table in the values
    or outside a subquery of the filters: such an UPDATE is not the same on every database.
    """
    identity = where_id if isinstance(where_id, Mapping) else {"id": where_id}
    conditions = [table.c[name] == value for name, value in identity.items()]
    conditions += [condition(table.c[name], value, auto_none=auto_none) for name, value in expected.items()]
    conditions += filters
    assignments = [(table.c[name], _value(value)) for name, value in _ordered(values, order)]
    _refuse_other_tables(table, [*conditions, *(value for _, value in assignments if isinstance(value, sa.ClauseElement))])
    update = sa.update(table).where(*conditions).ordered_values(*assignments)
    return tx.execute(update).rowcount > 0


def _value(value: Any) -> Any:
    return sa.case(*value.whens, else_=value.else_) if isinstance(value, Case) else value


def _ordered(values: Mapping[str, Any], order: Sequence[str]) -> list[tuple[str, Any]]:
    """The caller's order, then values that refer to columns, then Case, then plain ones: old values are read before they go."""

    def rank(name: str) -> tuple[int, int]:
        if name in order:
            return 0, order.index(name)
        value = values[name]
        return (2, 0) if isinstance(value, Case) else (1, 0) if isinstance(value, sa.ClauseElement) else (3, 0)

    return [(name, values[name]) for name in sorted(values, key=rank)]


def _is_collection(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _refuse_other_tables(table: sa.Table, clauses: Iterable[sa.ClauseElement]) -> None:
    others = {one for clause in clauses for one in _own_tables(clause) if one is not table}
    if others:
        raise ValueError(f"an update of {table.name} cannot name {', '.join(sorted(str(one) for one in others))} outside a subquery")


def _own_tables(clause: sa.ClauseElement) -> Iterable[Any]:
    """The tables whose columns stand in ``clause``, not those within its subqueries."""
    if isinstance(clause, sa.SelectBase):
        return
    if isinstance(clause, sa.Column):
        yield clause.table
    for child in clause.get_children():
        if isinstance(child, sa.ClauseElement):
            yield from _own_tables(child)

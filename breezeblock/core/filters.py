"""Filters of lists: a resource declares which columns its lists can be filtered by, and a query becomes SQL conditions.

The column's type says how a value is read: text exactly (and in part, from V.LIKE_FILTERS on, under a name
that ends in ``~``), numbers, booleans, moments by comparison (from V.TIME_FILTERS on), metadata as an object of
which each entry must be there. Several conditions must all hold.
"""

import ast
import datetime
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import paging
from breezeblock.core.bodies import shown
from breezeblock.core.fields import FALSE_WORDS, TRUE_WORDS
from breezeblock.core.requests import Request
from breezeblock.core.versions import RequestVersion, V

MAX_BIGINT = 2**63 - 1
TRUE_FILTERS, FALSE_FILTERS = frozenset({*TRUE_WORDS, "T"}), frozenset({*FALSE_WORDS, "F"})
_COMPARE = {
    "gt": lambda column, moment: column > moment,
    "gte": lambda column, moment: column >= moment,
    "eq": lambda column, moment: column == moment,
    "neq": lambda column, moment: column != moment,
    "lt": lambda column, moment: column < moment,
    "lte": lambda column, moment: column <= moment,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A name that lists can be filtered by. ``strict_since``: from then on a boolean must be spelled as documented."""

    column: sa.Column[Any]
    since: V = V.BASE
    like: bool = False
    strict_since: V = V.BASE


Filters = Mapping[str, Filter]


def conditions(req: Request, filters: Filters, also: Collection[str] = ()) -> list[sa.ColumnElement[bool]]:
    """What the query asks for. ``also``: names that the verb reads itself, such as all_tenants.

    Raises :class:`errors.Invalid` for values that cannot be read, and from V.RESOURCE_FILTERS_ENFORCED on for unknown names;
    before, unknown names were ignored.
    """
    found, unknown = [], []
    for name, value in req.query.items():
        if name in paging.NAMES or name in also:
            continue
        one, part = _filter(filters, name, req.version)
        if one is None:
            unknown.append(name)
        elif part:
            found.append(one.column.contains(value, autoescape=True))
        else:
            found.extend(_condition(one, name, value, req))
    if unknown and req.version.has(V.RESOURCE_FILTERS_ENFORCED):
        raise errors.Invalid(reason=f"Invalid filters {', '.join(name[:60] for name in sorted(unknown))} are found in query options.")
    return found


def visible(req: Request, table: sa.Table) -> list[sa.ColumnElement[bool]]:
    """The rows of the caller's project; those of all projects for an administrator who asks for all_tenants."""
    asked = req.query.get("all_tenants", "false")
    if asked not in TRUE_WORDS and asked not in FALSE_WORDS:
        raise _wrong("all_tenants", asked, "true or false")
    everything = req.caller.is_admin and asked in TRUE_WORDS
    return [] if everything else [table.c.project_id == req.caller.project_id]


def on_host(column: sa.ColumnElement[Any], host: str) -> sa.ColumnElement[bool]:
    """A pool's id, host@backend#pool, lies on ``host``: the whole of it, or a part that ends before a mark."""
    return sa.or_(column == host, *(column.startswith(f"{host}{mark}", autoescape=True) for mark in "@#"))


def _filter(filters: Filters, name: str, version: RequestVersion) -> tuple[Filter | None, bool]:
    """The filter of this name at this version, and whether it matches a part only."""
    one = filters.get(name)
    if one is not None:
        return (one if version.has(one.since) else None), False
    if name.endswith("~") and version.has(V.LIKE_FILTERS):
        one = filters.get(name[:-1])
        if one is not None and one.like and version.has(one.since):
            return one, True
    return None, False


def _condition(one: Filter, name: str, value: str, req: Request) -> list[sa.ColumnElement[bool]]:
    kind = one.column.type
    if isinstance(kind, sa.Boolean):
        return [one.column.is_(sa.true() if _boolean(name, value, strict=req.version.has(one.strict_since)) else sa.false())]
    if isinstance(kind, sa.Integer):
        return [one.column == _integer(name, value)]
    if isinstance(kind, sa.DateTime):
        return _moments(one.column, name, value)
    if isinstance(kind, sa.JSON):
        return [holds_entry(one.column, key, entry, req.tx.dialect) for key, entry in entries(name, value).items()]
    return [one.column == value]


def _boolean(name: str, value: str, *, strict: bool) -> bool:
    if strict and value not in TRUE_FILTERS and value not in FALSE_FILTERS:
        raise _wrong(name, value, "true or false")
    return value in TRUE_FILTERS


def _integer(name: str, value: str) -> int:
    try:
        number = int(value) if len(value) <= 20 else MAX_BIGINT + 1
    except ValueError:
        raise _wrong(name, value, "a whole number") from None
    if abs(number) > MAX_BIGINT:
        raise _wrong(name, value, "a whole number of at most 64 bits")
    return number


def _moments(column: sa.Column[Any], name: str, value: str) -> list[sa.ColumnElement[bool]]:
    """``gt:TIME,lte:TIME``; a time without an operator must be equal. All must hold, so that two make a range."""
    found = []
    for part in value.split(","):
        operator, colon, time = part.strip().partition(":")
        if operator not in _COMPARE or not colon:
            operator, time = "eq", part.strip()
        try:
            moment = datetime.datetime.fromisoformat(time)
            if moment.tzinfo is not None:
                moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise _wrong(name, part, f"a time in ISO 8601, with {', '.join(_COMPARE)} and a colon before it") from None
        found.append(_COMPARE[operator](column, moment))
    return found


def entries(name: str, value: str) -> dict[str, str]:
    """An object of text, as JSON or as Python's clients write a dict."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict) and all(isinstance(part, str) and "\0" not in part for entry in found.items() for part in entry):
            return found
    raise _wrong(name, value, "an object of text to text, such as {'key': 'value'}")


def holds_entry(column: sa.Column[Any], key: str, value: str, dialect: str) -> sa.ColumnElement[bool]:
    """The JSON object in ``column`` has ``key`` with ``value``; neither is ever part of a JSON path."""
    if dialect == "postgresql":
        return column.op("@>")(sa.cast({key: value}, column.type))
    if dialect == "mysql":
        return sa.func.json_contains(column, json.dumps({key: value})) == 1
    each = sa.func.json_each(column).table_valued("key", "value", joins_implicitly=True)
    return sa.exists(sa.select(sa.literal(1)).select_from(each).where(each.c.key == key, each.c.value == value))


def _wrong(name: str, value: str, expected: str) -> errors.Invalid:
    return errors.Invalid(reason=f"Invalid filter {name}. Value: {shown(value)}. It must be {expected}.")

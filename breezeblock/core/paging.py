"""Pages of lists: limit, offset, marker and sorting as OpenStack's Block Storage API has them, by keyset.

A page is one statement with one plan, whatever its size or place: the rows after the marker are found
by comparing the sort columns, never by counting past rows. NULL sorts as the smallest value, and ties are
broken by id, on every database. A resource declares a :class:`Listing` once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.fields import FALSE_WORDS, MAX_INT, TRUE_WORDS
from breezeblock.core.requests import Request
from breezeblock.core.versions import V
from breezeblock.store.engine import Tx

Row = sa.RowMapping
NAMES = frozenset({"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count"})
"""The query's names that belong to paging and are no filters."""


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order."""

    column: sa.Column[Any]
    descending: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What the lists of one resource can do.

    ``kind``: a single one, for messages. ``collection``: the key of the list in an answer.
    ``sortable``: the API's name of each column to sort by, with the version since which it is one.
    """

    table: sa.Table
    kind: str
    collection: str
    sortable: Mapping[str, tuple[str, V]]
    default_key: str = "created_at"
    counted_since: V | None = V.WITH_COUNT

    @property
    def id(self) -> sa.Column[Any]:
        """What a marker names, and what breaks ties."""
        return self.table.c.id


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows, in which order."""

    limit: int
    offset: int
    marker: str | None
    order: tuple[Key, ...]
    with_count: bool


RowKind = TypeVar("RowKind")


@dataclass(frozen=True, slots=True)
class Found(Generic[RowKind]):
    """The rows of a page, whether others follow it, and the count of all pages if that was asked for."""

    rows: Sequence[RowKind]
    more: bool
    count: int | None = None


def page_of(req: Request, listing: Listing) -> Page:
    """The page that the query asks for; raises :class:`errors.Invalid` for what cannot be read."""
    query, longest = req.query, req.settings.api.max_limit
    counted = listing.counted_since is not None and req.version.has(listing.counted_since)
    return Page(
        limit=min(_number(query, "limit", longest), longest),
        offset=_number(query, "offset", 0),
        marker=query.get("marker") or None,
        order=_order(req, listing),
        with_count=counted and _yes(query, "with_count"),
    )


def fetch(
    req: Request, listing: Listing, columns: Sequence[Any], visible: Sequence[sa.ColumnElement[bool]], where: Sequence[Any] = ()
) -> Found[Row]:
    """The page's rows by their columns' names: those that the caller may see (``visible``) and wants (``where``).

    A marker need only be visible. Raises NotFound for a marker that the caller cannot see.
    """
    found = fetch_plain(req, listing, columns, visible, where)
    return Found([row._mapping for row in found.rows], found.more, found.count)  # noqa: SLF001 - SQLAlchemy's public name


def fetch_plain(
    req: Request,
    listing: Listing,
    columns: Sequence[Any] | sa.Select[Any],
    visible: Sequence[sa.ColumnElement[bool]],
    where: Sequence[Any] = (),
) -> Found[sa.Row[Any]]:
    """The same rows as tuples in the order of ``columns``: for lists whose speed counts.

    ``columns`` may be a prepared SELECT of them, which may join what each row has at most once.
    """
    page = page_of(req, listing)
    conditions = [*visible, *where]
    count = None
    if page.with_count:
        count = req.tx.execute(sa.select(sa.func.count()).select_from(listing.table).where(*conditions)).scalar_one()
    if page.limit == 0:
        return Found((), more=False, count=count)
    selected = columns if isinstance(columns, sa.Select) else sa.select(*columns)
    statement = selected.where(*conditions).order_by(*ordering(page.order, req.tx.dialect)).limit(page.limit + 1)
    if page.marker is not None:
        statement = statement.where(after(page.order, _marker(req.tx, listing, page, visible)))
    if page.offset:
        statement = statement.offset(page.offset)
    rows = req.tx.execute(statement).all()
    return Found(rows[: page.limit], more=len(rows) > page.limit, count=count)


def body(req: Request, listing: Listing, found: Found[Any], items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer's body: the shown ``items`` of ``found``, a link to the next page if there is one, the count if asked for."""
    answer: dict[str, Any] = {listing.collection: items}
    if found.more:
        answer[f"{listing.collection}_links"] = [{"rel": "next", "href": next_link(req, items[-1]["id"])}]
    if found.count is not None:
        answer["count"] = found.count
    return answer


def next_link(req: Request, marker: str) -> str:
    """This request's URL with all of its parameters, but from ``marker`` on."""
    query = {name: value for name, value in req.query.items() if name not in {"marker", "offset"}} | {"marker": marker}
    return f"{req.url}{quote(req.path)}?{urlencode(query)}"


def ordering(order: Sequence[Key], dialect: str) -> list[sa.UnaryExpression[Any]]:
    """ORDER BY. Only PostgreSQL must be told that NULL is the smallest, and only where there can be one."""
    found = []
    for key in order:
        one = key.column.desc() if key.descending else key.column.asc()
        if dialect == "postgresql" and key.column.nullable:
            one = one.nulls_last() if key.descending else one.nulls_first()
        found.append(one)
    return found


def after(order: Sequence[Key], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The rows behind the one with ``values`` in its columns of ``order``.

    The first column's range stands alone too, since it is what an index can start from.
    """
    found: sa.ColumnElement[bool] = sa.false()
    for key, value in zip(reversed(order), reversed(values), strict=True):
        found = sa.or_(_beyond(key, value), sa.and_(_equal(key, value), found))
    first, value = order[0], values[0]
    if first.column.nullable:
        return found
    return sa.and_(first.column <= value if first.descending else first.column >= value, found)


def _beyond(key: Key, value: Any) -> sa.ColumnElement[bool]:
    if value is None:
        return sa.false() if key.descending else key.column.is_not(None)
    if not key.descending:
        larger: sa.ColumnElement[bool] = key.column > value
        return larger
    smaller: sa.ColumnElement[bool] = key.column < value
    return sa.or_(smaller, key.column.is_(None)) if key.column.nullable else smaller


def _equal(key: Key, value: Any) -> sa.ColumnElement[bool]:
    return key.column.is_(None) if value is None else key.column == value


def _marker(tx: Tx, listing: Listing, page: Page, visible: Sequence[sa.ColumnElement[bool]]) -> Sequence[Any]:
    columns = [key.column for key in page.order]
    row = tx.execute(sa.select(*columns).where(listing.id == page.marker, *visible)).one_or_none()
    if row is None:
        raise errors.NotFound(kind=listing.kind, id=page.marker)
    return tuple(row)


def _order(req: Request, listing: Listing) -> tuple[Key, ...]:
    """The keys that are asked for, and the id last, in the first key's direction. The default is the newest first."""
    known = {name: column for name, (column, since) in listing.sortable.items() if req.version.has(since)}
    wanted = _wanted(req.query) or [(listing.default_key, True)]
    keys: dict[str, Key] = {}
    for name, descending in wanted:
        if name not in known:
            raise errors.Invalid(reason=f"Invalid sort key: {name[:60]!r}. It must be one of {', '.join(sorted(known))}.")
        keys.setdefault(known[name], Key(listing.table.c[known[name]], descending))
    keys.setdefault(listing.id.name, Key(listing.id, wanted[0][1]))
    order = list(keys.values())
    return tuple(order[: [key.column.name for key in order].index(listing.id.name) + 1])


def _wanted(query: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Names and whether descending, from ``sort=name:dir,...`` or from the older ``sort_key`` and ``sort_dir``."""
    if "sort" in query:
        if "sort_key" in query or "sort_dir" in query:
            raise errors.Invalid(reason="The parameters sort_key and sort_dir cannot be used together with sort.")
        parts = (part.strip().partition(":") for part in query["sort"].split(",") if part.strip())
        return [(name.strip(), _descending(direction.strip() or "desc")) for name, _, direction in parts]
    if "sort_key" in query or "sort_dir" in query:
        return [((query.get("sort_key") or "created_at").strip(), _descending((query.get("sort_dir") or "desc").strip()))]
    return []


def _descending(direction: str) -> bool:
    if direction.lower() not in {"asc", "desc"}:
        raise errors.Invalid(reason=f"Invalid sort direction: {direction[:60]!r}. It must be asc or desc.")
    return direction.lower() == "desc"


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value) <= MAX_INT):
        raise errors.Invalid(reason=f"Invalid input for {name}. Value: {value[:60]!r}. It must be a whole number from 0 to {MAX_INT}.")
    return int(value)


def _yes(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in TRUE_WORDS and value not in FALSE_WORDS:
        raise errors.Invalid(reason=f"Invalid input for {name}. Value: {value[:60]!r}. It must be true or false.")
    return value in TRUE_WORDS

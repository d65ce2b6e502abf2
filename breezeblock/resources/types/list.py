"""List the volume types that the caller may use; administrators also the private ones."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import filters, paging
from breezeblock.core.fields import FALSE_WORDS, TRUE_WORDS
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.types import rules, view
from breezeblock.resources.types.table import volume_types

LISTING = paging.Listing(
    volume_types,
    "Volume type",
    "volume_types",
    {name: (name, V.BASE) for name in ("created_at", "updated_at", "name", "id", "description", "is_public")},
    counted_since=None,
)
FILTERS = {"name": filters.Filter(volume_types.c.name, like=True)}
SPECS = {"extra_specs": filters.Filter(volume_types.c.extra_specs, since=V.TYPE_ZONES_AND_FILTER)}
OTHERS = ("is_public", "all_tenants")


def request(req: Request) -> Answer:
    """One page, by one statement."""
    req.authorize("volume_extension:type_get_all")
    where = [*filters.conditions(req, FILTERS, (*OTHERS, *SPECS)), *_by_specs(req)]
    found = paging.fetch(req, LISTING, list(volume_types.c), _visible(req), where)
    return Answer(200, paging.body(req, LISTING, found, list(map(view.shower(req), found.rows))))


def _visible(req: Request) -> list[sa.ColumnElement[bool]]:
    """Users see public types. Administrators ask with is_public: true (also when they do not say), false, or none for both."""
    asked = req.query.get("is_public", "true") if req.caller.is_admin else "true"
    if asked.lower() == "none":
        return []
    if asked not in TRUE_WORDS and asked not in FALSE_WORDS:
        raise errors.Invalid(reason=f"Invalid filter is_public. Value: {asked[:60]!r}. It must be true, false or none.")
    return [volume_types.c.is_public.is_(sa.true() if asked in TRUE_WORDS else sa.false())]


def _by_specs(req: Request) -> Sequence[Any]:
    """By extra specs; users by those that they may read, so that the others cannot be guessed."""
    asked = {name: value for name, value in req.query.items() if name in SPECS}
    if not asked or not req.version.has(V.TYPE_ZONES_AND_FILTER):
        return ()
    wanted = filters.entries("extra_specs", asked["extra_specs"])
    if rules.visible_specs(wanted) != wanted and not req.allowed("volume_extension:types_extra_specs:read_sensitive"):
        return (sa.false(),)
    return [filters.holds_entry(volume_types.c.extra_specs, key, value, req.tx.dialect) for key, value in wanted.items()]

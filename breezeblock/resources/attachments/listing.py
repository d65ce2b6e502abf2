"""What the two lists of attachments share: which rows, how they are filtered, sorted and paged."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa

from breezeblock.core import filters, paging
from breezeblock.core.fields import TRUE_WORDS
from breezeblock.core.requests import Request
from breezeblock.core.versions import V
from breezeblock.resources.attachments.table import attachments

LISTING = paging.Listing(
    attachments,
    "Attachment",
    "attachments",
    {
        "id": ("id", V.BASE),
        "created_at": ("created_at", V.BASE),
        "attach_status": ("attach_status", V.BASE),
        "volume_id": ("volume_id", V.BASE),
    },
    counted_since=None,
)
FILTERS: Mapping[str, filters.Filter] = {
    "volume_id": filters.Filter(attachments.c.volume_id),
    "instance_id": filters.Filter(attachments.c.instance_id),
    "status": filters.Filter(attachments.c.attach_status),
    "attach_status": filters.Filter(attachments.c.attach_status),
}
OTHERS = ("all_tenants", "project_id")


def fetch(req: Request) -> paging.Found[paging.Row]:
    """One page, by one statement."""
    return paging.fetch(req, LISTING, list(attachments.c), _visible(req), filters.conditions(req, FILTERS, OTHERS))


def rows(found: paging.Found[paging.Row]) -> Sequence[Mapping[str, Any]]:
    """The rows of a page, by their columns' names."""
    return cast("Sequence[Mapping[str, Any]]", found.rows)


def _visible(req: Request) -> list[Any]:
    everywhere = req.caller.is_admin and req.query.get("all_tenants", "") in TRUE_WORDS
    if not everywhere:
        return [attachments.c.project_id == req.caller.project_id]
    wanted = req.query.get("project_id")
    return [attachments.c.project_id == wanted] if wanted else [sa.true()]

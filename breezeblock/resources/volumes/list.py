"""List the caller's volumes, in short (/volumes) or with everything (/volumes/detail)."""

from breezeblock.core import filters, paging
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.volumes import listing
from breezeblock.resources.volumes.table import volumes
from breezeblock.resources.volumes.view import View


def request(req: Request) -> Answer:
    """One page: one statement for the volumes and the names of their types, one more for attachments if there are any."""
    req.authorize("volume:get_all")
    visible, wanted, view = filters.visible(req, volumes), listing.wanted(req), View(req)
    if req.path.endswith("/detail"):
        found = paging.fetch_plain(req, listing.LISTING, view.shape.page, visible, wanted)
        items = listing.detailed(req.tx, view, found.rows)
    else:
        found = paging.fetch_plain(req, listing.LISTING, (volumes.c.id, volumes.c.name), visible, wanted)
        items = [view.summary(row) for row in found.rows]
    return Answer(200, paging.body(req, listing.LISTING, found, items))

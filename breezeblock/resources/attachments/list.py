"""List attachments."""

from breezeblock.core import paging
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.attachments import listing, view


def request(req: Request) -> Answer:
    """One page."""
    req.authorize("volume:get_all")
    found = listing.fetch(req)
    return Answer(200, paging.body(req, listing.LISTING, found, [view.summary(row) for row in listing.rows(found)]))

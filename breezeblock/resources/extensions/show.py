"""Show one extension."""

from breezeblock import errors
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.extensions import rules


def request(req: Request, alias: str) -> Answer:
    """By its alias."""
    req.authorize("volume_extension:extensions")
    found = rules.known().get(alias)
    if found is None:
        raise errors.NotFound(kind="Extension", id=alias)
    return Answer(200, {"extension": found})

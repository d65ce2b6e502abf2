"""Show one volume."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.volumes import listing


def request(req: Request, volume_id: str) -> Answer:
    """Everything that the caller may see of it."""
    return Answer(200, {"volume": listing.one(req, volume_id, "volume:get")})

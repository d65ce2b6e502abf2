"""Show all metadata of a volume."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.volumes import rules


def request(req: Request, volume_id: str) -> Answer:
    """Since V.ETAG with an ETag."""
    return metadata.shown(req, rules.find(req, volume_id, "volume:get_volume_metadata"))

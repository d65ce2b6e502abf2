"""Show one key of a volume's metadata."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.volumes import rules


def request(req: Request, volume_id: str, key: str) -> Answer:
    """Raises NotFound for a key that is not there."""
    return metadata.shown_one(rules.find(req, volume_id, "volume:get_volume_metadata"), key)

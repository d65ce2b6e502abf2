"""Set one key of a volume's metadata."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.volumes import rules
from breezeblock.resources.volumes.table import volumes

BODY = metadata.ONE


def request(req: Request, volume_id: str, key: str) -> Answer:
    """Other keys stay."""
    return metadata.set_one(req, volumes, rules.changeable(req, volume_id, "volume:update_volume_metadata"), key)

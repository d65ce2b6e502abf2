"""Put other metadata in the place of all that a volume has."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.volumes import rules
from breezeblock.resources.volumes.table import volumes

BODY = metadata.ALL


def request(req: Request, volume_id: str) -> Answer:
    """Keys that were not sent go."""
    return metadata.replaced(req, volumes, rules.changeable(req, volume_id, "volume:update_volume_metadata"))

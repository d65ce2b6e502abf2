"""Show one key of a snapshot's metadata."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.snapshots import rules


def request(req: Request, snapshot_id: str, key: str) -> Answer:
    """Raises NotFound for a key that is not there."""
    return metadata.shown_one(rules.find(req, snapshot_id, "volume:get_snapshot_metadata"), key)

"""Show all metadata of a snapshot."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.snapshots import rules


def request(req: Request, snapshot_id: str) -> Answer:
    """All keys."""
    return metadata.shown(req, rules.find(req, snapshot_id, "volume:get_snapshot_metadata"))

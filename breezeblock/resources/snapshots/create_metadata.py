"""Add to a snapshot's metadata."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.snapshots import rules
from breezeblock.resources.snapshots.table import snapshots

BODY = metadata.ALL


def request(req: Request, snapshot_id: str) -> Answer:
    """Keys that were not sent stay."""
    return metadata.merged(req, snapshots, rules.find(req, snapshot_id, "volume:update_snapshot_metadata", lock=True))

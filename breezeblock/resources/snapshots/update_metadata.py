"""Set one key of a snapshot's metadata."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.metadata import rules as metadata
from breezeblock.resources.snapshots import rules
from breezeblock.resources.snapshots.table import snapshots

BODY = metadata.ONE


def request(req: Request, snapshot_id: str, key: str) -> Answer:
    """Other keys stay."""
    return metadata.set_one(req, snapshots, rules.find(req, snapshot_id, "volume:update_snapshot_metadata", lock=True), key)

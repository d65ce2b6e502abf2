"""Show one snapshot."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.snapshots import rules
from breezeblock.resources.snapshots.view import View


def request(req: Request, snapshot_id: str) -> Answer:
    """Everything that the caller may see of it."""
    return Answer(200, {"snapshot": View(req).detail(rules.find(req, snapshot_id, "volume:get_snapshot"))})

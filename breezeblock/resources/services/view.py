"""How a service looks on the wire."""

from collections.abc import Collection, Mapping
from typing import Any

from breezeblock.core.requests import Request
from breezeblock.core.versions import V
from breezeblock.resources.services import rules


def show(req: Request, row: Mapping[str, Any], alive: Collection[rules.Serving]) -> dict[str, Any]:
    """One service; ``alive`` is what live workers serve."""
    state = "up" if rules.is_up(row, alive) else "down"
    shown = {
        "binary": row["binary"],
        "host": row["host"],
        "zone": row["availability_zone"],
        "status": "disabled" if row["disabled"] else "enabled",
        "state": state,
        "updated_at": (row["updated_at"] or row["created_at"]).isoformat(timespec="microseconds"),
        "disabled_reason": row["disabled_reason"],
    }
    if req.version.has(V.CLUSTERS):
        shown["cluster"] = None
    if row["binary"] == rules.VOLUME:
        shown |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
        if req.version.has(V.BACKEND_STATE):
            shown["backend_state"] = state
    return shown

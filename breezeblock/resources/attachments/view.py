"""How an attachment looks on the wire."""

from collections.abc import Mapping
from typing import Any

from breezeblock.core.requests import Request
from breezeblock.core.versions import V
from breezeblock.resources.attachments import rules


def _moment(at: Any) -> str:
    return "" if at is None else at.isoformat(timespec="microseconds")


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """The short form of a list."""
    return {"id": row["id"], "status": row["attach_status"], "instance": row["instance_id"], "volume_id": row["volume_id"]}


def detail(req: Request, row: Mapping[str, Any], *, secret: bool = True) -> dict[str, Any]:
    """Everything; ``secret`` shows the connection information, which lists never do."""
    shown = summary(row) | {
        "attached_at": _moment(row["attached_at"]),
        "detached_at": _moment(row["detached_at"]),
        "attach_mode": row["mode"] if req.version.has(V.ATTACHMENT_MODE) or row["mode"] else None,
    }
    if secret:
        text = row["connection_info"]
        shown["connection_info"] = flat(row["id"], rules.secrets_of(req.settings.state_path).decrypt(text)) if text else {}
    return shown


def flat(attachment_id: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """The connection as attachments show it: one flat object, whereas os-initialize_connection has the same below ``data``."""
    return {"driver_volume_type": info["driver_volume_type"], "attachment_id": attachment_id, **info["data"]}

"""Connect a volume to a host: the older action. It keeps an attachment of its own, which os-attach completes.

available, attaching, in-use --request, job--> attaching, in-use
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Request, Wait
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.resources.attachments import connection, rules, states
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-initialize_connection", {"connector": fields.OBJECT.but(required=True)})

ALLOWED = (volume_states.AVAILABLE, volume_states.ATTACHING, volume_states.RESERVED, volume_states.IN_USE)


def request(req: Request, volume_id: str) -> Wait:
    """A repetition from the same host finds the same attachment, and gets the same answer."""
    connector = req.body["connector"]
    volume = volume_rules.find(req, volume_id, "volume_extension:volume_actions:initialize_connection")
    row = rules.legacy_of(req, volume_id, connector.get("host"))
    mode = "ro" if volume["readonly"] else "rw"
    if row is None:
        attachment_id = _reserve(req, volume, mode)
        return connection.ask_connect(req, volume, attachment_id, connector, mode, complete=False, made=True, show=_shown)
    return connection.ask_connect(
        req, volume, row["id"], connector, row["mode"], complete=row["attach_status"] == states.ATTACHED, show=_shown
    )


def _reserve(req: Request, volume: Mapping[str, Any], mode: str) -> str:
    guard = Guard("status", ALLOWED, "its status is '{value}', and must be " + " or ".join(ALLOWED))
    apply(req.tx, "volumes.initialize_connection", Change(volumes, volume["id"], rules.counted(more=1), (guard,)))
    row = {
        "id": req.new_id("attachment"),
        "volume_id": volume["id"],
        "project_id": volume["project_id"],
        "user_id": req.caller.user_id,
        "mode": mode,
        "attach_status": states.RESERVED,
        "created_at": req.clock.utcnow(),
        "legacy": True,
    }
    req.tx.execute(sa.insert(attachments), row)
    return str(row["id"])


def _shown(req: Request, row: Mapping[str, Any]) -> Any:
    text = row["connection_info"]
    return {"connection_info": rules.secrets_of(req.settings.state_path).decrypt(text) if text else {}}

"""Reserve a volume for a server, and connect it at once when the connector is known.

available           --request--> reserved
in-use (multiattach, or the same server again for a live migration) --request--> in-use
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request, Wait
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.core.versions import V
from breezeblock.resources.attachments import connection, rules, states, view
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body(
    "attachment",
    {
        "volume_uuid": fields.UUID.but(required=True),
        "instance_uuid": fields.UUID_OR_NULL,
        "connector": fields.nullable(fields.OBJECT),
        "mode": fields.one_of("rw", "ro").but(since=V.ATTACHMENT_MODE),
    },
    strict_since=V.STRICT_SCHEMAS,
)

FREE = (volume_states.AVAILABLE,)
SHARED = (volume_states.AVAILABLE, volume_states.RESERVED, volume_states.ATTACHING, volume_states.IN_USE)


def request(req: Request) -> Answer | Wait:
    """Count the attachment on the volume's row, write it, and connect it if there is a connector."""
    body = req.body
    volume = volume_rules.find(req, body["volume_uuid"], "volume:attachment_create")
    connector = body.get("connector")
    mode = body.get("mode") or (connector or {}).get("mode") or ("ro" if volume["readonly"] else "rw")
    if volume["readonly"] and mode == "rw":
        raise errors.Invalid(reason=f"Volume {volume['id']} is read-only; attach it with mode ro.")
    row = {
        "id": req.new_id("attachment"),
        "volume_id": volume["id"],
        "project_id": volume["project_id"],
        "user_id": req.caller.user_id,
        "instance_id": body.get("instance_uuid"),
        "mode": mode,
        "attach_status": states.RESERVED,
        "created_at": req.clock.utcnow(),
        "legacy": False,
    }
    apply(req.tx, "attachments.create", _reserve(req, volume, row["instance_id"]))
    req.tx.execute(sa.insert(attachments), row)
    if connector:
        return connection.ask_connect(
            req, volume, row["id"], connector, mode, complete=not req.version.has(V.ATTACHMENT_COMPLETE), made=True
        )
    return Answer(200, {"attachment": view.detail(req, {column.name: None for column in attachments.c} | row)})


def _reserve(req: Request, volume: Mapping[str, Any], instance_id: str | None) -> Change:
    again = instance_id is not None and volume["attachments"] > 0 and _has(req, volume["id"], instance_id)
    allowed = SHARED if volume["multiattach"] or again else FREE
    guards = (
        Guard("status", allowed, "its status is '{value}', and must be " + " or ".join(allowed)),
        Guard("multiattach", volume["multiattach"], "its multiattach property has changed"),
    )
    return Change(volumes, volume["id"], rules.counted(more=1), guards)


def _has(req: Request, volume_id: str, instance_id: str) -> bool:
    mine = (attachments.c.volume_id == volume_id, attachments.c.instance_id == instance_id)
    return req.tx.execute(sa.select(attachments.c.id).where(*mine).limit(1)).one_or_none() is not None

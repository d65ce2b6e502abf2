"""Say that a server or host has the volume: the older action.

available, attaching (in-use: multiattach) --request--> in-use
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.resources.attachments import rules, states
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body(
    "os-attach",
    {
        "instance_uuid": fields.UUID_OR_NULL,
        "host_name": fields.nullable(fields.TEXT),
        "mountpoint": fields.TEXT.but(required=True),
        "mode": fields.nullable(fields.one_of("rw", "ro")),
    },
)


def request(req: Request, volume_id: str) -> Answer:
    """Write the attachment, and count it on the volume's row."""
    body = req.body
    volume = volume_rules.find(req, volume_id, "volume_extension:volume_actions:attach")
    if not body.get("instance_uuid") and not body.get("host_name"):
        raise errors.Invalid(reason="Invalid request to attach volume to an invalid target: name an instance_uuid or a host_name.")
    mode = body.get("mode") or ("ro" if volume["readonly"] else "rw")
    if volume["readonly"] and mode == "rw":
        raise errors.Invalid(reason=f"Volume {volume_id} is read-only; attach it with mode ro.")
    now = req.clock.utcnow()
    open_one = rules.legacy_of(req, volume_id, body.get("host_name"))
    if open_one is not None and open_one["attach_status"] == states.ATTACHING:
        return _complete(req, open_one, now)
    allowed = (volume_states.AVAILABLE, volume_states.ATTACHING) + ((volume_states.IN_USE,) if volume["multiattach"] else ())
    guard = Guard("status", allowed, "its status is '{value}', and must be " + " or ".join(allowed))
    apply(req.tx, "volumes.attach", Change(volumes, volume_id, rules.counted(more=1, attached=1) | {"updated_at": now}, (guard,)))
    row = {
        "id": req.new_id("attachment"),
        "volume_id": volume_id,
        "project_id": volume["project_id"],
        "user_id": req.caller.user_id,
        "instance_id": body.get("instance_uuid"),
        "attached_host": body.get("host_name"),
        "mountpoint": body["mountpoint"],
        "mode": mode,
        "attach_status": states.ATTACHED,
        "attached_at": now,
        "created_at": now,
        "legacy": True,
    }
    req.tx.execute(sa.insert(attachments), row)
    return Answer(202)


def _complete(req: Request, row: Mapping[str, Any], now: Any) -> Answer:
    """The attachment that os-initialize_connection made is the one that is attached now."""
    apply(req.tx, "volumes.attach", Change(volumes, row["volume_id"], rules.counted(connecting=-1, attached=1) | {"updated_at": now}))
    guard = Guard("attach_status", states.ATTACHING, "its attachment's status is '{value}'")
    attached = {
        "attach_status": states.ATTACHED,
        "attached_at": now,
        "updated_at": now,
        "instance_id": req.body.get("instance_uuid"),
        "attached_host": req.body.get("host_name") or row["attached_host"],
        "mountpoint": req.body["mountpoint"],
    }
    apply(req.tx, "volumes.attach", Change(attachments, row["id"], attached, (guard,)))
    return Answer(202)

"""Disconnect a volume from a host: the older action. What os-attach completed stays attached until os-detach.

attaching --request, job--> (attachment gone)
in-use, detaching --request, job--> the same, disconnected
"""

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request, Wait
from breezeblock.resources.attachments import connection, rules
from breezeblock.resources.volumes import rules as volume_rules

BODY = Body("os-terminate_connection", {"connector": fields.nullable(fields.OBJECT).but(required=True)})


def request(req: Request, volume_id: str) -> Answer | Wait:
    """Repeating it is harmless: what is not connected stays so."""
    volume = volume_rules.find(req, volume_id, "volume_extension:volume_actions:terminate_connection")
    row = rules.legacy_of(req, volume_id, (req.body["connector"] or {}).get("host"))
    if row is None or row["connector"] is None:
        return Answer(202)
    return connection.ask_disconnect(req, volume, row["id"], keep=row["attach_status"] == "attached", status=202)

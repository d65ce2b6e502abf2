"""Give an attachment its connector, and answer with the connection.

reserved --request, job--> attaching      (attached before ATTACHMENT_COMPLETE)
"""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request, Wait
from breezeblock.core.versions import V
from breezeblock.resources.attachments import connection, rules, states, view
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules

BODY = Body("attachment", {"connector": fields.OBJECT.but(required=True)}, strict_since=V.STRICT_SCHEMAS)


def request(req: Request, attachment_id: str) -> Answer | Wait:
    """A repetition with the same connector gets the same answer; the attachments of one host and another exclude each other."""
    row = rules.find(req, attachment_id, "volume:attachment_update")
    connector = req.body["connector"]
    if row["connection_info"] and row["connector"] == connector:
        return Answer(200, {"attachment": view.detail(req, row)})
    volume = volume_rules.find(req, row["volume_id"], "volume:attachment_update")
    if not volume["multiattach"]:
        _refuse_another_host(req, row["id"], volume["id"], connector.get("host"))
    return connection.ask_connect(req, volume, attachment_id, connector, row["mode"], complete=not req.version.has(V.ATTACHMENT_COMPLETE))


def _refuse_another_host(req: Request, attachment_id: str, volume_id: str, host: str | None) -> None:
    connected = (states.ATTACHING, states.ATTACHED)
    others = sa.select(attachments.c.attached_host, attachments.c.instance_id).where(
        attachments.c.volume_id == volume_id, attachments.c.id != attachment_id, attachments.c.attach_status.in_(connected)
    )
    for other in req.tx.execute(others):
        if other.attached_host != host:
            raise errors.Conflict(
                verb="connect", kind="volume", id=volume_id, reasons=f"it is connected to {other.attached_host}, and is not multiattach"
            )

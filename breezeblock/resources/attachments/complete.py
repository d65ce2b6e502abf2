"""Say that the server has the volume.

attaching --request--> attached
"""

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.resources.attachments import rules, states
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-complete", whole=fields.ANY)


def request(req: Request, attachment_id: str) -> Answer:
    """Both rows move in one transaction, each under its guard; saying it twice is harmless."""
    row = rules.find(req, attachment_id, "volume:attachment_complete")
    if row["attach_status"] == states.ATTACHED:
        return Answer(204)
    now = req.clock.utcnow()
    apply(req.tx, "attachments.complete", Change(volumes, row["volume_id"], rules.counted(connecting=-1, attached=1) | {"updated_at": now}))
    guard = Guard("attach_status", states.ATTACHING, "its status is '{value}', and must be attaching: give it a connector first")
    attached = {"attach_status": states.ATTACHED, "attached_at": now, "updated_at": now}
    apply(req.tx, "attachments.complete", Change(attachments, attachment_id, attached, (guard,), refused=errors.Conflict))
    return Answer(204)

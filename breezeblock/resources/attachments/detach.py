"""Say that a server or host has let go of the volume: the older action.

detaching, in-use --request--> available, or in-use when it has other attachments
"""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Again, Change, Guard, apply
from breezeblock.resources.attachments import rules
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-detach", {"attachment_id": fields.UUID_OR_NULL}, nullable=True)
HELD = (volume_states.IN_USE, volume_states.DETACHING, volume_states.ATTACHING, volume_states.RESERVED)


def request(req: Request, volume_id: str) -> Answer:
    """Remove the attachment, and uncount it on the volume's row. Its connection ends by os-terminate_connection, before or after."""
    volume_rules.find(req, volume_id, "volume_extension:volume_actions:detach")
    rows = req.tx.rows(sa.select(attachments).where(attachments.c.volume_id == volume_id).order_by(attachments.c.id))
    wanted = (req.body or {}).get("attachment_id")
    chosen = [row for row in rows if wanted in {None, row["id"]}]
    if wanted is not None and not chosen:
        raise errors.NotFound(kind="Attachment", id=wanted)
    if len(chosen) > 1:
        raise errors.Invalid(reason=f"Volume {volume_id} has {len(chosen)} attachments; say which one by attachment_id.")
    guard = Guard("status", HELD, "its status is '{value}', and must be " + " or ".join(HELD))
    now = req.clock.utcnow()
    if not chosen:
        apply(req.tx, "volumes.detach", Change(volumes, volume_id, rules.counted() | {"updated_at": now}, (guard,)))
        return Answer(202)
    row = chosen[0]
    apply(req.tx, "volumes.detach", Change(volumes, volume_id, rules.without(row) | {"updated_at": now}, (guard,)))
    unchanged = (attachments.c.id == row["id"], attachments.c.attach_status == row["attach_status"])
    if req.tx.execute(sa.delete(attachments).where(*unchanged)).rowcount != 1:
        raise Again
    return Answer(202)

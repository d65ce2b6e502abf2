"""Take a volume away from a server.

reserved, error_attaching --request--> (gone)
attaching, attached, error_detaching --request, job--> (gone)
"""

import sqlalchemy as sa

from breezeblock.core.requests import Answer, Request, Wait
from breezeblock.core.transitions import Again, Change, Guard, apply
from breezeblock.resources.attachments import connection, rules, view
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes.table import volumes


def request(req: Request, attachment_id: str) -> Answer | Wait:
    """One that was never connected goes at once; the others when their connection has been withdrawn."""
    row = rules.find(req, attachment_id, "volume:attachment_delete")
    volume = volume_rules.find(req, row["volume_id"], "volume:attachment_delete")
    if row["connector"] is not None:
        return connection.ask_disconnect(req, volume, attachment_id)
    never = Guard("live_jobs", 0, "{value} operations on it are under way")
    apply(req.tx, "attachments.delete", Change(volumes, volume["id"], rules.without(row) | {"updated_at": req.clock.utcnow()}, (never,)))
    unchanged = (attachments.c.id == attachment_id, attachments.c.attach_status == row["attach_status"])
    if req.tx.execute(sa.delete(attachments).where(*unchanged)).rowcount != 1:
        raise Again
    left = req.tx.rows(sa.select(attachments).where(attachments.c.volume_id == volume["id"]).order_by(attachments.c.created_at))
    return Answer(200, {"attachments": [view.summary(each) for each in left]})

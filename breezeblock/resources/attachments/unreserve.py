"""Give a reservation of the older attach actions back.

attaching --request--> available, or in-use when it has other attachments
"""

import sqlalchemy as sa

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-unreserve", whole=fields.ANY)


def request(req: Request, volume_id: str) -> Answer:
    """A compare-and-swap on the volume's row; there is nothing for a worker to do."""
    volume_rules.find(req, volume_id, "volume_extension:volume_actions:unreserve")
    guards = (Guard("status", (volume_states.ATTACHING, volume_states.AVAILABLE), "its status is '{value}', and must be attaching"),)
    moved = {"status": sa.case((volumes.c.attached > 0, volume_states.IN_USE), else_=volume_states.AVAILABLE)}
    apply(req.tx, "volumes.unreserve", Change(volumes, volume_id, moved | {"updated_at": req.clock.utcnow()}, guards))
    return Answer(202)

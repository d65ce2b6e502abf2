"""Say that a server is about to let go of the volume.

in-use --request--> detaching
"""

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.resources.attachments import states
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-begin_detaching", whole=fields.ANY)


def request(req: Request, volume_id: str) -> Answer:
    """A compare-and-swap on the volume's row; there is nothing for a worker to do."""
    volume_rules.find(req, volume_id, "volume_extension:volume_actions:begin_detaching")
    guards = (
        Guard("status", volume_states.IN_USE, "its status is '{value}', and must be in-use"),
        Guard("attach_status", states.ATTACHED, "its attach_status is '{value}', and must be attached"),
        volume_rules.NOT_MIGRATING,
    )
    moved = {"status": volume_states.DETACHING, "attach_status": states.DETACHING}
    apply(req.tx, "volumes.begin_detaching", Change(volumes, volume_id, moved | {"updated_at": req.clock.utcnow()}, guards))
    return Answer(202)

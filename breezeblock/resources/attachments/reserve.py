"""Reserve a volume for the older attach actions.

available --request--> attaching      (multiattach: in-use too)
"""

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-reserve", whole=fields.ANY)


def request(req: Request, volume_id: str) -> Answer:
    """A compare-and-swap on the volume's row; there is nothing for a worker to do."""
    volume = volume_rules.find(req, volume_id, "volume_extension:volume_actions:reserve")
    allowed = (volume_states.AVAILABLE, volume_states.IN_USE) if volume["multiattach"] else (volume_states.AVAILABLE,)
    guards = (
        Guard("status", allowed, "its status is '{value}', and must be " + " or ".join(allowed)),
        Guard("multiattach", volume["multiattach"], "its multiattach property has changed"),
    )
    moved = {"status": volume_states.ATTACHING, "updated_at": req.clock.utcnow()}
    apply(req.tx, "volumes.reserve", Change(volumes, volume_id, moved, guards))
    return Answer(202)

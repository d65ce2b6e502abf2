"""Say whether a volume may be attached for reading only."""

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.core.versions import V
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-update_readonly_flag", {"readonly": fields.BOOLEAN.but(required=True)}, strict_since=V.BASE)

AVAILABLE = Guard("status", states.AVAILABLE, "its status is '{value}', and must be available")


def request(req: Request, volume_id: str) -> Answer:
    """Guarded, because an attachment that is under way has read the flag already."""
    rules.find(req, volume_id, "volume:update_readonly_flag")
    values = {"readonly": req.body["readonly"], "updated_at": req.clock.utcnow()}
    apply(req.tx, "volumes.update_readonly_flag", Change(volumes, volume_id, values, (AVAILABLE,)))
    return Answer(202)

"""Say whether a server can boot from a volume."""

import sqlalchemy as sa

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.volumes import rules
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-set_bootable", {"bootable": fields.BOOLEAN.but(required=True)}, strict_since=V.BASE)


def request(req: Request, volume_id: str) -> Answer:
    """A word about the volume; its bytes are not looked at."""
    rules.changeable(req, volume_id, "volume:update")
    values = {"bootable": req.body["bootable"], "updated_at": req.clock.utcnow()}
    req.tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(values))
    return Answer(200)

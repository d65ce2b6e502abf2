"""Take one key away from what a volume knows of the image in it."""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.volumes import rules
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-unset_image_metadata", {"key": fields.text(shortest=1).but(required=True)})


def request(req: Request, volume_id: str) -> Answer:
    """Raises NotFound for a key that is not there."""
    volume = rules.changeable(req, volume_id, "volume_extension:volume_image_metadata:remove")
    left = dict(volume["image_metadata"])
    if left.pop(req.body["key"], None) is None:
        raise errors.NotFound(kind="Image metadata", id=req.body["key"])
    req.tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(image_metadata=left, updated_at=req.clock.utcnow()))
    return Answer(200)

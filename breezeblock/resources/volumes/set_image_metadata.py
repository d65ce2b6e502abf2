"""Add to what a volume knows of the image in it."""

import sqlalchemy as sa

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.volumes import rules
from breezeblock.resources.volumes.table import volumes

BODY = Body("os-set_image_metadata", {"metadata": fields.METADATA.but(required=True)})


def request(req: Request, volume_id: str) -> Answer:
    """Other keys stay."""
    volume = rules.changeable(req, volume_id, "volume_extension:volume_image_metadata:set")
    merged = {**volume["image_metadata"], **req.body["metadata"]}
    req.tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(image_metadata=merged, updated_at=req.clock.utcnow()))
    return Answer(200, {"metadata": merged})

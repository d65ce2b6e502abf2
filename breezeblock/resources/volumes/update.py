"""Change a volume's name, description or metadata; the latter as a whole."""

from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.volumes import listing, rules
from breezeblock.resources.volumes.table import volumes

BODY = Body(
    "volume",
    {
        "name": fields.NAME,
        "description": fields.DESCRIPTION,
        "display_name": fields.NAME,
        "display_description": fields.DESCRIPTION,
        "metadata": fields.METADATA_OR_NULL,
    },
    strict_since=V.STRICT_SCHEMAS,
    one_needed_since=V.STRICT_SCHEMAS,
)


def request(req: Request, volume_id: str) -> Answer:
    """What is not sent stays as it is."""
    if not req.body:
        raise errors.Invalid(reason="Say a name, a description or metadata.")
    rules.changeable(req, volume_id, "volume:update")
    values: dict[str, Any] = {name.removeprefix("display_"): value for name, value in req.body.items()}
    values |= {name: req.body[name] for name in ("name", "description") if name in req.body}
    if "metadata" in values:
        values["metadata"] = values["metadata"] or {}
    req.tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(**values, updated_at=req.clock.utcnow()))
    return Answer(200, {"volume": listing.one(req, volume_id, "volume:update")})

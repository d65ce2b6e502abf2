"""Change a volume type's name, description or visibility."""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.types import rules, view
from breezeblock.resources.types.table import volume_types

BODY = Body(
    "volume_type",
    {
        "name": fields.NAME,
        "description": fields.DESCRIPTION,
        "is_public": fields.BOOLEAN,
        "os-volume-type-access:is_public": fields.BOOLEAN,
    },
    strict_since=V.BASE,
)


def request(req: Request, type_id: str) -> Answer:
    """Null stands for what stays as it is. Quotas follow a new name by themselves, as they are counted by id."""
    req.authorize("volume_extension:type_update")
    sent = {name.rpartition(":")[2]: value for name, value in req.body.items() if value is not None}
    if not sent:
        raise errors.Invalid(reason="Say a name, a description, is_public, or several of them.")
    row = rules.locked(req, type_id)
    if "name" in sent:
        _check_name(req, row["name"], sent["name"])
    try:
        req.tx.execute(sa.update(volume_types).where(volume_types.c.id == type_id).values(**sent, updated_at=req.clock.utcnow()))
    except sa.exc.IntegrityError:
        raise errors.Conflict(verb="Renaming", kind="volume type", id=type_id, reasons="another type has this name.") from None
    return Answer(200, {"volume_type": view.shower(req)({**row, **sent})})


def _check_name(req: Request, old: str, new: str) -> None:
    if not new:
        raise errors.Invalid(reason="The name of a volume type cannot be empty.")
    if old == req.settings.default_volume_type and new != old:
        raise errors.Invalid(reason=f"Volume type {old} is the default (default_volume_type) and keeps its name.")

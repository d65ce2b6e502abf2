"""Add extra specs to a type that has no volumes; those of the same names are replaced."""

from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules

BODY = Body("extra_specs", whole=fields.EXTRA_SPECS)


def request(req: Request, type_id: str) -> Answer:
    """The answer holds what was sent."""
    req.authorize("volume_extension:types_extra_specs:create")
    row = rules.locked(req, type_id)
    rules.change_specs(req, row, {**row["extra_specs"], **req.body})
    return Answer(200, {"extra_specs": req.body})

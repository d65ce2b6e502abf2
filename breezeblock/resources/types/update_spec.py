"""Set one extra spec of a type that has no volumes."""

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules

BODY = Body(None, whole=fields.EXTRA_SPECS)


def request(req: Request, type_id: str, key: str) -> Answer:
    """The body is the one entry, under the key of the path."""
    req.authorize("volume_extension:types_extra_specs:update")
    if list(req.body) != [key]:
        raise errors.Invalid(reason=f"The body must hold exactly the extra spec of the path, {key[:60]!r}.")
    row = rules.locked(req, type_id)
    rules.change_specs(req, row, {**row["extra_specs"], **req.body})
    return Answer(200, req.body)

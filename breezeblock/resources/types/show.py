"""Show one volume type, by its id or its name."""

from breezeblock import errors
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules, view


def request(req: Request, type_id: str) -> Answer:
    """One row."""
    req.authorize("volume_extension:type_get")
    row = rules.find(req.tx, type_id)
    if row is None or not rules.visible(req, row):
        raise errors.NotFound(kind="Volume type", id=type_id)
    return Answer(200, {"volume_type": view.shower(req)(row)})

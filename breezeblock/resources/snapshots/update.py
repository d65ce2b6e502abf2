"""Change a snapshot's name or description."""

from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.snapshots import rules
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.snapshots.view import View

BODY = Body(
    "snapshot",
    {
        "name": fields.NAME,
        "description": fields.DESCRIPTION,
        "display_name": fields.NAME,
        "display_description": fields.DESCRIPTION,
    },
    strict_since=V.STRICT_SCHEMAS,
    one_needed_since=V.STRICT_SCHEMAS,
)


def request(req: Request, snapshot_id: str) -> Answer:
    """What is not sent stays as it is."""
    if not req.body:
        raise errors.Invalid(reason="Say a name or a description.")
    row = rules.find(req, snapshot_id, "volume:update_snapshot", lock=True)
    values: dict[str, Any] = {name.removeprefix("display_"): value for name, value in req.body.items()}
    values |= {name: req.body[name] for name in ("name", "description") if name in req.body}
    values["updated_at"] = req.clock.utcnow()
    req.tx.execute(sa.update(snapshots).where(snapshots.c.id == snapshot_id).values(values))
    return Answer(200, {"snapshot": View(req).detail({**row, **values})})

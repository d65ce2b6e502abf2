"""Create a volume type."""

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.types import rules, view
from breezeblock.resources.types.table import volume_types
from breezeblock.store.upsert import insert_missing

BODY = Body(
    "volume_type",
    {
        "name": fields.NAME.but(required=True),
        "description": fields.DESCRIPTION,
        "os-volume-type-access:is_public": fields.BOOLEAN,
        "extra_specs": fields.nullable(fields.EXTRA_SPECS),
    },
    strict_since=V.BASE,
)


def request(req: Request) -> Answer:
    """Insert it, unless the name is taken; of two at once one wins."""
    req.authorize("volume_extension:type_create")
    name, specs = req.body["name"], req.body.get("extra_specs") or {}
    if not name:
        raise errors.Invalid(reason="A volume type must have a name.")
    rules.check_specs(specs)
    row = {
        "id": req.new_id("type"),
        "name": name,
        "description": req.body.get("description"),
        "is_public": req.body.get("os-volume-type-access:is_public", True),
        "extra_specs": specs,
        "qos_specs_id": None,
        "created_at": req.clock.utcnow(),
    }
    req.tx.execute(insert_missing(req.tx, volume_types, row, unique="name"))
    there = rules.find(req.tx, row["id"])
    if there is None or there["name"] != name:
        raise errors.Conflict(verb="Creating", kind="volume type", id=name, reasons="a type of this name exists already.")
    return Answer(200, {"volume_type": view.shower(req)(there)})

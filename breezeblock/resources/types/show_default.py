"""Show the type of volumes that ask for none."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules, view


def request(req: Request) -> Answer:
    """The type that the option default_volume_type names."""
    req.authorize("volume_extension:type_get")
    row = rules.default(req.tx, req.settings.default_volume_type)
    return Answer(200, {"volume_type": view.shower(req)(row)})

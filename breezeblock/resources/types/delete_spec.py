"""Remove one extra spec from a type that has no volumes."""

from breezeblock import errors
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules


def request(req: Request, type_id: str, key: str) -> Answer:
    """The others stay."""
    req.authorize("volume_extension:types_extra_specs:delete")
    row = rules.locked(req, type_id)
    if key not in row["extra_specs"]:
        raise errors.NotFound(kind=f"Extra spec of volume type {type_id}", id=key)
    rules.change_specs(req, row, {name: value for name, value in row["extra_specs"].items() if name != key})
    return Answer(202)

"""Show one extra spec of a type."""

from breezeblock import errors
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules


def request(req: Request, type_id: str, key: str) -> Answer:
    """One entry."""
    req.authorize("volume_extension:types_extra_specs:show")
    specs = rules.readable_specs(req, rules.seen(req, type_id))
    if key not in specs:
        raise errors.NotFound(kind=f"Extra spec of volume type {type_id}", id=key)
    return Answer(200, {key: specs[key]})

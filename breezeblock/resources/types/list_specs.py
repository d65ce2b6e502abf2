"""List a type's extra specs; users see those that speak to them."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.types import rules


def request(req: Request, type_id: str) -> Answer:
    """One row."""
    req.authorize("volume_extension:types_extra_specs:index")
    return Answer(200, {"extra_specs": rules.readable_specs(req, rules.seen(req, type_id))})

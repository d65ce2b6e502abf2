"""List the extensions."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.extensions import rules


def request(req: Request) -> Answer:
    """The same for everybody."""
    req.authorize("volume_extension:extensions")
    return Answer(200, {"extensions": list(rules.known().values())})

"""Keep new volumes away from a service; what it has, it goes on serving.

enabled --request--> disabled
"""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.services import rules

BODY = rules.WHICH


def request(req: Request) -> Answer:
    """The scheduler sees it with its next choice."""
    req.authorize("volume_extension:services:update")
    host, binary = rules.switch(req, disabled=True, reason=None)
    return Answer(200, {"host": host, "service": binary, "binary": binary, "disabled": True, "status": "disabled"})

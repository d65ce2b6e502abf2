"""Keep new volumes away from a service, and say why.

enabled --request--> disabled
"""

import dataclasses

from breezeblock.core import fields
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.services import rules

BODY = dataclasses.replace(
    rules.WHICH, fields={**(rules.WHICH.fields or {}), "disabled_reason": fields.text(255, shortest=1).but(required=True)}
)


def request(req: Request) -> Answer:
    """The reason shows in the list of services, and where the scheduler explains itself."""
    req.authorize("volume_extension:services:update")
    reason = req.body["disabled_reason"].strip()
    host, binary = rules.switch(req, disabled=True, reason=reason)
    shown = {"host": host, "service": binary, "binary": binary, "disabled": True, "status": "disabled", "disabled_reason": reason}
    return Answer(200, shown)

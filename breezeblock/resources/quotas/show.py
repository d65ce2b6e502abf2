"""Show a project's limits, and with ``usage`` what it uses."""

from breezeblock.core import fields
from breezeblock.core.bodies import Query
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.quotas import rules, view

QUERY = Query({"usage": fields.BOOLEAN})


def request(req: Request, project_id: str) -> Answer:
    """Two statements, whatever the number of types."""
    req.authorize("volume_extension:quotas:show", {"project_id": project_id})
    standing = rules.standing(req.tx, project_id, req.settings.quota, private_types=req.caller.is_admin)
    shown = view.usage(standing) if req.params.get("usage") else view.limits(standing)
    return Answer(200, {"quota_set": {"id": project_id, **shown}})

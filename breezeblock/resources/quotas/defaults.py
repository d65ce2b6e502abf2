"""Show the limits of a project that has none of its own."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.quotas import rules, view


def request(req: Request, project_id: str) -> Answer:
    """The options of the section [quota]; types have no default limit."""
    req.authorize("volume_extension:quotas:show", {"project_id": project_id})
    standing = rules.standing(req.tx, None, req.settings.quota, private_types=req.caller.is_admin)
    return Answer(200, {"quota_set": {"id": project_id, **view.limits(standing)}})

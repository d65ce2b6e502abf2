"""Take a project's own limits away, so that the defaults hold again."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.quotas import rules


def request(req: Request, project_id: str) -> Answer:
    """What is in use stays counted."""
    req.authorize("volume_extension:quotas:delete", {"project_id": project_id})
    rules.forget_limits(req.tx, project_id)
    return Answer(200)

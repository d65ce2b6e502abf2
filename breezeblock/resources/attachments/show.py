"""Show an attachment with its connection."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.attachments import rules, view


def request(req: Request, attachment_id: str) -> Answer:
    """The connection information is for those who may use it."""
    row = rules.find(req, attachment_id, "volume:get")
    return Answer(200, {"attachment": view.detail(req, row)})

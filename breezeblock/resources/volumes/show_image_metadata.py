"""Show what a volume knows of the image in it."""

from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.volumes import rules

BODY = Body("os-show_image_metadata", {}, nullable=True)


def request(req: Request, volume_id: str) -> Answer:
    """An action that changes nothing."""
    volume = rules.find(req, volume_id, "volume_extension:volume_image_metadata:show")
    return Answer(200, {"metadata": volume["image_metadata"]})

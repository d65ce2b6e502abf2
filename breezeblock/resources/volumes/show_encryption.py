"""Show how a volume is encrypted; hypervisors ask before they attach. Here no volume is."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.volumes import rules


def request(req: Request, volume_id: str) -> Answer:
    """The key's id, null for a volume in the clear."""
    volume = rules.find(req, volume_id, "volume_extension:volume_encryption_metadata")
    return Answer(200, {"encryption_key_id": volume["encryption_key_id"]})

"""List the availability zones."""

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.availability_zones import rules


def request(req: Request) -> Answer:
    """A zone is available while an enabled service is in it."""
    req.authorize("volume_extension:availability_zone_list")
    zones = rules.known(req.tx).items()
    return Answer(200, {"availabilityZoneInfo": [{"zoneName": name, "zoneState": {"available": available}} for name, available in zones]})

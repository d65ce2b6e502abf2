"""Which microversion a request asks for, and what every answer says about it.

Source: OpenStack's microversion specification; the header is ``OpenStack-API-Version: volume 3.x``, one
header may name several services, separated by commas, and a request without it gets the lowest.
"""

import re

from breezeblock import errors
from breezeblock.core.versions import HIGH, LOW, RequestVersion

HEADER = "OpenStack-API-Version"
SERVICES = ("volume", "block-storage", "block-store")
"""The service type as clients send it; then its official name and alias of the service-types authority."""
_NUMBER = re.compile(r"([1-9][0-9]{0,8})\.([0-9]{1,9})", re.ASCII)


def negotiate(header: str | None) -> RequestVersion:
    """The version that ``header`` asks for.

    Raises :class:`errors.Invalid` for what is no version, and :class:`errors.VersionNotAcceptable` for one out of range.
    """
    asked = _asked(header) if header else None
    if asked is None:
        return RequestVersion.lowest()
    if asked == "latest":
        return RequestVersion.latest()
    number = _NUMBER.fullmatch(asked)
    if number is None:
        raise errors.Invalid(reason=f"API version '{asked[:40]}' is not of the form MAJOR.MINOR.")
    version = RequestVersion((int(number[1]), int(number[2])))
    if not version.served:
        raise errors.VersionNotAcceptable(asked=version, low=LOW, high=HIGH)
    return version


def _asked(header: str) -> str | None:
    for part in header.split(","):
        service, _, version = part.strip().partition(" ")
        if service.lower() in SERVICES:
            return version.strip().lower()
    return None

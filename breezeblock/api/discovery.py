"""Version discovery: what keystoneauth reads before a client's first request.

The shape is that of OpenStack's version documents: a choice of versions at ``/`` (300, though there is
one) and the same document at ``/v3`` (200). Needs no authentication and no database.
"""

from typing import Any

from breezeblock.core.versions import HIGH, LOW

UPDATED = "2023-08-31T00:00:00Z"
"""When the newest microversion that this service speaks was published."""


def document(base: str) -> dict[str, Any]:
    """The versions document of the service whose outside URL is ``base`` (no slash at its end)."""
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": str(HIGH),
                "min_version": str(LOW),
                "updated": UPDATED,
                "links": [
                    {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                    {"rel": "self", "href": f"{base}/v3/"},
                ],
                "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
            }
        ]
    }

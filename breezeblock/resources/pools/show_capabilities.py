"""Show what a backend can do, in the terms of extra specs."""

from breezeblock import errors
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.pools import rules

PROPERTIES = {
    "thin_provisioning_support": ("Thin provisioning", "Volumes take space as they are written."),
    "multiattach": ("Multiattach", "Volumes may be attached to several servers at once."),
    "QoS_support": ("Quality of service", "The backend limits or guarantees rates."),
    "replication_enabled": ("Replication", "Volumes are replicated to another backend."),
    "consistent_group_snapshot_enabled": ("Consistent group snapshots", "Snapshots of a whole group are of one moment."),
}
"""The capabilities that a type's extra specs ask for with <is> True."""


def request(req: Request, host: str) -> Answer:
    """``host`` is host@backend, or one pool of it, as the list of services and the volumes name it."""
    req.authorize("volume_extension:capabilities")
    found = [pool for pool in rules.known(req.tx) if host in (pool.host, pool.id)]
    if not found:
        raise errors.NotFound(kind="Backend", id=host)
    facts = found[0].facts()
    answer = {
        "namespace": f"OS::Storage::Capabilities::{found[0].host}",
        "display_name": facts["volume_backend_name"],
        "description": None,
        "visibility": None,
        "replication_targets": [],
        "properties": {
            name: {"title": title, "description": text, "type": "boolean", "value": bool(facts[name])}
            for name, (title, text) in PROPERTIES.items()
        },
    }
    names = ("vendor_name", "volume_backend_name", "pool_name", "driver_version", "storage_protocol")
    return Answer(200, answer | {name: facts[name] for name in names})

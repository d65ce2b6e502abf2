"""What the choice of a pool is made from, as frozen values: pools as they are now, and what is wanted.

Pure data: whoever asks has read the rows. Nothing here may open a transaction or know a resource.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool with its last capacity report, its reservations and the service that serves it."""

    id: str
    """host@backend#pool."""
    queue: str
    backend: str
    name: str
    total_gib: float
    free_gib: float
    allocated_gib: float
    provisioned_gib: int
    thin: bool
    reserved_percentage: int
    max_over_subscription_ratio: float
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    reported_at: str = ""
    """ISO 8601, for people."""
    zone: str = ""
    up: bool = True
    """Whether a live worker takes jobs from its queue."""
    enabled: bool = True
    """Whether an operator lets its service take new volumes."""
    disabled_reason: str | None = None

    @property
    def host(self) -> str:
        """host@backend, the name of its service."""
        return self.id.partition("#")[0]

    def facts(self) -> dict[str, Any]:
        """Everything that it is and can do, under the names that extra specs and the pools API use."""
        own = {
            "pool_name": self.name,
            "total_capacity_gb": self.total_gib,
            "free_capacity_gb": self.free_gib,
            "allocated_capacity_gb": self.allocated_gib,
            "provisioned_capacity_gb": self.provisioned_gib,
            "reserved_percentage": self.reserved_percentage,
            "max_over_subscription_ratio": self.max_over_subscription_ratio,
            "thin_provisioning_support": self.thin,
            "thick_provisioning_support": not self.thin,
            "timestamp": self.reported_at,
            "backend_state": "up" if self.up else "down",
        }
        return {**ASSUMED, "volume_backend_name": self.backend, **self.capabilities, **own}


ASSUMED: Mapping[str, Any] = {
    "vendor_name": "Breezeblock",
    "driver_version": "1.0",
    "storage_protocol": "unknown",
    "QoS_support": False,
    "multiattach": False,
    "replication_enabled": False,
    "consistent_group_snapshot_enabled": False,
    "online_extend_support": True,
    "filter_function": None,
    "goodness_function": None,
    "location_info": None,
}
"""What is true of a pool whose driver says nothing else."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a volume needs of its pool."""

    size_gib: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ()
    """Any one of these will do; none named: every zone will."""
    pool_id: str | None = None
    """The only one possible: the pool of the snapshot or volume that it is made from."""
    same_host_as: frozenset[str] = frozenset()
    """host@backend of volumes to be near to (scheduler hint same_host)."""
    other_host_than: frozenset[str] = frozenset()
    """host@backend of volumes to be away from (scheduler hint different_host)."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Pool ids that were tried already, each with what came of it."""
    seed: str = ""
    """Spreads equal pools over many requests; the volume's id, so that a repeat chooses alike."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one pool cannot take the volume."""

    code: str
    """down, disabled, zone, source, hint, capability, capacity, excluded."""
    text: str

    @property
    def passing(self) -> bool:
        """Whether waiting helps: its workers are away."""
        return self.code == "down"

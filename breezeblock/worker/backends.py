"""What a worker reports of the backends that it serves."""

from breezeblock.config import BackendSettings
from breezeblock.core.work import Backend
from breezeblock.scheduler.capacity import Report


def reports(settings: BackendSettings, backend: Backend) -> list[Report]:
    """What the backend says of its pools now, with what its section adds."""
    common = settings.common
    return [
        Report(
            id=f"{settings.service_host}#{pool.name}",
            backend=common.volume_backend_name,
            name=pool.name,
            total_gib=pool.total_gib,
            free_gib=pool.free_gib,
            allocated_gib=pool.allocated_gib,
            thin=pool.thin,
            reserved_percentage=common.reserved_percentage,
            max_over_subscription_ratio=common.max_over_subscription_ratio,
            capabilities={"storage_protocol": backend.driver.storage_protocols[0] if backend.driver.storage_protocols else "none"}
            | dict(pool.capabilities),
        )
        for pool in backend.driver.pools()
    ]

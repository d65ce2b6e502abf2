"""Opens the backends that a worker serves, the driver and its exports, and reports their capacity."""

import functools
import logging
import os
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from breezeblock.config import BackendSettings, Settings
from breezeblock.core.work import Backend
from breezeblock.drivers import registry
from breezeblock.drivers.interface import DriverContext
from breezeblock.exports.images import LiveDaemons
from breezeblock.exports.manager import Exports
from breezeblock.exports.values import ExportRow, ExportSettings
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler.capacity import Report
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import exports as exports_table
from breezeblock.worker.named_locks import open_locks

log = logging.getLogger(__name__)


def open_all(settings: Settings, names: Sequence[str]) -> Mapping[str, Backend]:
    """The backends of these names, set up, by queue. Raises BadConfiguration or DriverError."""
    opened = (open_one(settings, settings.backend(name)) for name in names)
    return {backend.queue: backend for backend in opened}


def open_one(settings: Settings, backend: BackendSettings) -> Backend:
    """One backend, set up."""
    locks = open_locks(backend.coordination, f"{backend.service_host}:{os.getpid()}")
    context = DriverContext(backend.name, backend.driver_options, LiveDaemons(settings.state_path), locks)
    driver = registry.build(backend.driver, context)
    driver.setup()
    return Backend(backend.name, backend.queue, driver, open_exports(settings, backend))


def open_exports(settings: Settings, backend: BackendSettings) -> Exports:
    """The exports of this host, as the backend's section has them reached."""
    common = backend.common
    ports = range(common.nbd_first_port, common.nbd_last_port + 1)
    return Exports(ExportSettings(settings.state_path, settings.host, common.nbd_address or None, ports))


def rebuild_exports(store: Store, backend: Backend) -> None:
    """Bring back what this host exported before it was rebooted, or before its daemons died; at start and now and then."""
    statement = sa.select(exports_table, volumes.c.handle).join_from(exports_table, volumes, volumes.c.id == exports_table.c.volume_id)
    rows = store.read("exports.rows", lambda tx: tx.rows(statement.where(exports_table.c.queue == backend.queue)))
    wanted = [
        ExportRow(
            row["volume_id"],
            row["host"],
            row["boot_id"],
            row["generation"],
            row["parameters"],
            functools.partial(backend.driver.image, row["handle"]),
        )
        for row in rows
        if row["handle"]
    ]
    for volume_id, reason in backend.exports.rebuild(wanted).items():
        log.error("the export of volume %s could not be brought back: %s", volume_id, reason)


def reports(settings: BackendSettings, backend: Backend) -> list[Report]:
    """What the backend says of its pools now, with what its section adds. Every export serves several clients at once."""
    common = settings.common
    protocols = backend.driver.storage_protocols
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
            capabilities={"storage_protocol": protocols[0] if protocols else "none", "multiattach": True} | dict(pool.capabilities),
        )
        for pool in backend.driver.pools()
    ]

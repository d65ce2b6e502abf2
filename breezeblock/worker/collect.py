"""The collector: removes what dead jobs left on a backend (protocol rule R1).

An object is garbage when its job runs no more (or runs at a higher epoch) and no row's handle needs it. The order of
reading is what makes that true: first the backend is listed, then the live jobs are read, then the handles. A job that is
found to have ended has published its handles before they are read; one that is found alive keeps its objects. An object
whose job is alive at its own epoch is never touched, and a name is never used again, so a late removal is harmless.
"""

import logging
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.core.jobs import UNFINISHED
from breezeblock.core.resource import Registry
from breezeblock.core.work import Backend
from breezeblock.drivers.interface import StoredObject
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import jobs

log = logging.getLogger(__name__)


def collect(store: Store, registry: Registry, backend: Backend) -> list[str]:
    """One collection of one backend; the names that were removed."""
    found = backend.driver.objects()
    if not found:
        return []
    service_host = backend.queue.removeprefix("volume:")
    epochs = store.read("collect.jobs", _live_epochs)
    handles = store.read("collect.handles", lambda tx: _handles(tx, registry, service_host))
    needed = frozenset(backend.driver.referenced(handles))
    garbage = [each.name for each in found if each.name not in needed and not _alive(each, epochs)]
    if garbage:
        log.info("backend %s: removing %d leftovers of dead jobs", backend.name, len(garbage))
        backend.driver.remove(garbage)
    return garbage


def _handles(tx: Tx, registry: Registry, service_host: str) -> list[Mapping[str, Any]]:
    return [
        handle for resource in registry.resources.values() if resource.handles is not None for handle in resource.handles(tx, service_host)
    ]


def _live_epochs(tx: Tx) -> dict[str, int]:
    statement = sa.select(jobs.c.id, jobs.c.epoch).where(jobs.c.state.in_((*UNFINISHED, "cancelled")), _unacknowledged())
    return {row.id: row.epoch for row in tx.execute(statement)}


def _unacknowledged() -> sa.ColumnElement[bool]:
    """A cancelled job may still run until its holder has acknowledged that, which takes the owner away."""
    return sa.or_(jobs.c.state != "cancelled", jobs.c.owner.is_not(None))


def _alive(found: StoredObject, epochs: dict[str, int]) -> bool:
    epoch = epochs.get(found.job_id)
    return epoch is not None and found.epoch >= epoch

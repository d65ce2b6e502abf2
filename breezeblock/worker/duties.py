"""The periodic duties of a worker, by role: rescue everywhere; reports, collection and exports where there are backends."""

import datetime
import logging
import uuid
from collections.abc import Callable
from typing import Any, Final

from breezeblock.core.leases import Incarnation
from breezeblock.core.rescue import Rescuer, Rules
from breezeblock.core.work import Backend
from breezeblock.resources.services import rules as services
from breezeblock.scheduler import capacity
from breezeblock.store.engine import Tx
from breezeblock.store.purge import prepare_partitions, purge_events, purge_jobs
from breezeblock.worker import backends
from breezeblock.worker.collect import collect
from breezeblock.worker.loop import Surroundings
from breezeblock.worker.periodic import Duty

log = logging.getLogger(__name__)
COLLECT_SECONDS: Final = 20.0
EXPORTS_SECONDS: Final = 15.0
PURGE_SECONDS: Final = 10.0
"""Often, since one pass is bounded: a rescue must not wait behind it."""


def register_services(tx: Tx, around: Surroundings, incarnation: Incarnation) -> None:
    """Say in the services table what this worker serves."""
    for queue in incarnation.queues:
        backend = queue.startswith("volume:")
        services.register(
            tx,
            binary=services.VOLUME if backend else services.SCHEDULER,
            host=queue.removeprefix("volume:") if backend else incarnation.host,
            queue=queue,
            availability_zone=around.settings.storage_availability_zone,
            worker_id=incarnation.id,
            service_uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{incarnation.host}/{queue}")),
            now=around.clock.utcnow(),
        )


def report(around: Surroundings, backend: Backend) -> None:
    """Write the backend's capacity report."""
    found = backends.reports(around.settings.backend(backend.name), backend)
    around.store.run("capacity.report", lambda tx: capacity.report(tx, backend.queue, found, around.clock.utcnow()))


def duties(around: Surroundings, fence: Callable[[Any], None], end_sessions: Callable[[str], None]) -> tuple[Duty, ...]:
    """Everything that this worker does by the clock."""
    settings = around.settings
    rules = Rules(settings.lease, settings.worker.orphan_timeout, settings.worker.max_attempts, fence, end_sessions)
    rescuer = Rescuer(around.store, around.registry, rules, around.clock.boottime, around.clock.utcnow)
    found = [Duty("rescue", settings.lease.poll, rescuer.pass_once)]
    for backend in around.backends.values():
        found += _of_backend(around, backend)
    if not around.backends:
        found.append(Duty("purge", PURGE_SECONDS, lambda: purge(around)))
    return tuple(found)


def purge(around: Surroundings) -> None:
    """Delete finished jobs and events that are older than the configuration keeps them, and have the next months' partitions made."""
    now = around.clock.utcnow()
    before = now - datetime.timedelta(seconds=around.settings.worker.purge_after)
    prepare_partitions(around.store, now.date())
    jobs, events = purge_jobs(around.store, before), purge_events(around.store, before)
    if jobs.rows or events.rows or events.partitions:
        log.info("purged %d jobs, %d events and the months %s", jobs.rows, events.rows, ", ".join(events.partitions) or "-")


def _of_backend(around: Surroundings, backend: Backend) -> list[Duty]:
    return [
        Duty(f"report {backend.name}", around.settings.worker.report_interval, lambda: report(around, backend)),
        Duty(f"collect {backend.name}", COLLECT_SECONDS, lambda: collect(around.store, around.registry, backend)),
        Duty(f"exports {backend.name}", EXPORTS_SECONDS, lambda: backends.rebuild_exports(around.store, backend)),
    ]

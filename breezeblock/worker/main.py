"""A worker process: what it is composed of, how it starts, and how it ends.

Order of the start: fork the spawner of lone processes while there is one thread; open the backends; register the
incarnation and arm the kernel timer; only then claim. Order of the end: claim no more, let the jobs end, give the lease back.
"""

import logging
import os
import signal
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from breezeblock import errors
from breezeblock.config import Settings
from breezeblock.core import faults, leases
from breezeblock.core.clock import SystemClock
from breezeblock.core.leases import Incarnation, KernelTimer, Lease
from breezeblock.core.processes import not_first
from breezeblock.core.resource import JobClass
from breezeblock.core.wake import WakeListener, Waker
from breezeblock.resources import catalogue
from breezeblock.store.connect import open_lease_store, open_listener, open_notifier, open_store
from breezeblock.store.engine import Tx
from breezeblock.store.sessions import terminate_sessions
from breezeblock.worker import backends as backend_parts
from breezeblock.worker.beats import Beats
from breezeblock.worker.duties import duties, register_services, report
from breezeblock.worker.loop import Loop, Surroundings, Worker
from breezeblock.worker.periodic import Periodic
from breezeblock.worker.solo import Spawner

log = logging.getLogger(__name__)
LOST_LEASE_EXIT: Final = 70
GRACE_SECONDS: Final = 5.0


def run(settings: Settings, role: str, backends: Sequence[str]) -> int:
    """Be a worker until SIGTERM: ``role`` is ``scheduler``, or ``volume`` with the names of its backends. Returns the exit code."""
    return not_first(lambda: _run(settings, role, backends))


def _run(settings: Settings, role: str, backends: Sequence[str]) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    spawner = Spawner(lambda job_id: _run_alone(settings, role, backends, job_id))
    process = _Process(settings, role, backends, solo=False)
    process.start()
    me = process.incarnation
    listener = WakeListener(settings.state_path, me.id, me.queues, open_listener(settings, me.id, me.queues))
    loop = Loop(process.worker, _slots(settings), listener.wait, spawner.start, _die)
    spawner.watch(loop.suspect_ended)
    periodic = Periodic(process.around.clock, duties(process.around, _no_fence, process.end_sessions))
    periodic.start()
    claiming = threading.Thread(target=loop.run, name="claim")
    claiming.start()
    log.info("worker %s serves %s", process.incarnation.id, ", ".join(process.incarnation.queues))
    stopping.wait()
    periodic.stop()
    drained = loop.stop(GRACE_SECONDS)
    listener.interrupt()
    claiming.join()
    spawner.close()
    process.end(drained=drained)
    listener.close()
    return 0


def _run_alone(settings: Settings, role: str, backends: Sequence[str], job_id: str) -> int:
    """The life of a lone process: one job, under an incarnation of its own."""
    process = _Process(settings, role, backends, solo=True)
    process.start()
    job = process.worker.claim_suspect(job_id)
    if job is not None:
        process.worker.perform(job)
    process.end(drained=True)
    return 0


def _slots(settings: Settings) -> Mapping[str, int]:
    worker = settings.worker
    return {JobClass.SYNC: worker.slots_sync, JobClass.NORMAL: worker.slots_normal, JobClass.LONG: worker.slots_long}


def _no_fence(row: Any) -> None:
    """No driver of this service has a fence of its own, and no operator's command is set: the effect classes protect the storage."""


def _die(lost: errors.LostLease) -> None:
    """A worker that lost its lease has nothing left to save: whatever it would still do is refused, or harmless."""
    log.critical("%s; this process ends", lost)
    logging.shutdown()
    os._exit(LOST_LEASE_EXIT)


class _Process:
    """One incarnation with its connections, lease and backends."""

    def __init__(self, settings: Settings, role: str, names: Sequence[str], *, solo: bool) -> None:
        self._clock = SystemClock()
        registry = catalogue.registry()
        queues = ("scheduler",) if role == "scheduler" else tuple(settings.backend(name).queue for name in names)
        self.incarnation = Incarnation(str(uuid.uuid4()), settings.host, str(leases.this_process()), queues, registry.kinds(), solo)
        self.store = open_store(settings, self.incarnation.id, faults.reach)
        self._beat_store = open_lease_store(settings, self.incarnation.id, faults.reach)
        self._waker = Waker(settings.state_path, open_notifier(settings, self.incarnation.id))
        self.store.waker = self._waker.wake
        backends = {} if role == "scheduler" else backend_parts.open_all(settings, names)
        self.around = Surroundings(self.store, registry, self._clock, settings, backends)
        self.worker = Worker(self.around, self.incarnation)
        self._lease = Lease(
            lambda work: self._beat_store.run("lease.renew", work), self.incarnation.id, settings.lease, self._clock.boottime, KernelTimer()
        )
        self._beats = Beats(self._lease, settings.lease.heartbeat, _die)

    def start(self) -> None:
        """Register, arm the timer, begin to beat; a worker that is not alone reports its pools before it takes a job."""
        sent, now = self._clock.boottime(), self._clock.utcnow()

        def register(tx: Tx) -> None:
            leases.register(tx, self.incarnation, now)
            if not self.incarnation.solo:
                register_services(tx, self.around, self.incarnation)

        self._beat_store.run("lease.register", register)
        self._lease.start(sent)
        self._beats.start()
        if not self.incarnation.solo:
            for backend in self.around.backends.values():
                report(self.around, backend)
                backend_parts.rebuild_exports(self.store, backend)

    def end_sessions(self, worker_id: str) -> None:
        """End the database sessions of a fenced incarnation, which may hold row locks (protocol rule R7)."""
        terminate_sessions(self.store, worker_id)

    def end(self, *, drained: bool) -> None:
        """Give the lease back; with jobs still running it is left to be fenced, so that they are taken over as suspects."""
        self._beats.stop()
        if drained:
            now = self._clock.utcnow()
            self._beat_store.run("lease.leave", lambda tx: leases.leave(tx, self.incarnation.id, now))
            self._lease.release()
        self._waker.close()
        self.store.dispose()
        self._beat_store.dispose()

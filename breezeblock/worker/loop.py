"""The claim loop: no more jobs than free slots, fair between projects, woken by hints, kept honest by polling (protocol rule R10).

:class:`Worker` is one incarnation's business with the database, one step at a time, so that tests and
simulations can drive it; :class:`Loop` is the threads around it.
"""

import dataclasses
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from breezeblock import errors
from breezeblock.config import Settings
from breezeblock.core import claims
from breezeblock.core.claims import Wanted
from breezeblock.core.clock import Clock
from breezeblock.core.jobs import JobRow
from breezeblock.core.leases import Incarnation
from breezeblock.core.resource import Registry
from breezeblock.core.work import Backend, Work, perform
from breezeblock.store.engine import Store

log = logging.getLogger(__name__)
RETRY_SECONDS: Final = 0.5
FULL_SCAN_SECONDS: Final = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What every worker of a process is composed of."""

    store: Store
    registry: Registry
    clock: Clock
    settings: Settings
    backends: Mapping[str, Backend]
    """By queue."""


class Worker:
    """One incarnation: claims, and performs what it claimed."""

    def __init__(self, around: Surroundings, incarnation: Incarnation) -> None:
        self.around = around
        self.incarnation = incarnation
        self._turn = 0
        self._low_seq = 0
        self._scanned_at = float("-inf")

    def wanted(self, slots: Mapping[str, int]) -> Wanted:
        """What can be taken now."""
        now = self.around.clock.boottime()
        if now - self._scanned_at >= FULL_SCAN_SECONDS:
            self._scanned_at, self._low_seq = now, 0
        kinds = tuple(self.incarnation.kinds.items())
        return Wanted(self.incarnation.queues, kinds, slots, self._low_seq)

    def claim(self, slots: Mapping[str, int]) -> list[JobRow]:
        """Claim at most ``slots`` jobs of each class. Raises LostLease or DatabaseAway."""
        wanted, now = self.wanted(slots), self.around.clock.utcnow()
        work = lambda tx: claims.claim(tx, self.incarnation.id, wanted, self.around.registry, now, self._turn)  # noqa: E731
        claimed = self.around.store.run("jobs.claim", work)
        self._turn += 1
        if claimed and self._low_seq == 0:
            self._low_seq = min(job.seq for job in claimed)
        return claimed

    def suspects(self, limit: int) -> list[str]:
        """Ids of ready suspect jobs; each must run alone, in a process of its own (rule R5)."""
        wanted = dataclasses.replace(self.wanted({}), low_seq=0)
        find = lambda tx: [job.id for job in claims.suspects(tx, wanted, limit)]  # noqa: E731
        return self.around.store.read("jobs.suspects", find)

    def claim_suspect(self, job_id: str) -> JobRow | None:
        """Claim one suspect; None when another has it."""
        wanted, now = dataclasses.replace(self.wanted({}), low_seq=0), self.around.clock.utcnow()
        work = lambda tx: claims.claim_suspect(tx, self.incarnation.id, job_id, wanted, self.around.registry, now)  # noqa: E731
        return self.around.store.run("jobs.claim", work)

    def perform(self, job: JobRow) -> None:
        """Run a claimed job to its end. While the database is away it is run again, which is harmless, until it ends or the lease does."""
        around = self.around
        while True:
            work = Work(
                job,
                around.registry.verbs[job.kind],
                around.store,
                around.registry,
                around.clock,
                around.settings,
                around.backends.get(job.queue),
            )
            try:
                perform(work)
            except errors.DatabaseAway:
                log.warning("job %s %s waits for the database", job.id, job.kind)
                around.clock.sleep(RETRY_SECONDS)
            else:
                return


class Loop:
    """The threads of a worker: one that claims, and as many as there are slots that perform."""

    def __init__(
        self,
        worker: Worker,
        slots: Mapping[str, int],
        wait: Callable[[float], object],
        start_suspect: Callable[[str], None],
        lost: Callable[[errors.LostLease], None],
    ) -> None:
        """``wait`` blocks for at most the given seconds or until a hint; ``lost`` ends the process."""
        self._worker = worker
        self._slots = dict(slots)
        self._wait = wait
        self._start_suspect = start_suspect
        self._lost = lost
        self._busy: Counter[str] = Counter()
        self._alone: set[str] = set()
        self._lock = threading.Condition()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(sum(slots.values()), thread_name_prefix="job")

    def run(self) -> None:
        """Claim and start jobs until :meth:`stop`."""
        poll = self._worker.around.settings.lease.poll
        while not self._stopping.is_set():
            try:
                started = self._once()
            except errors.LostLease as lost:
                self._lost(lost)
                return
            except (errors.DatabaseAway, errors.Unavailable) as away:
                log.warning("cannot claim: %s", away)
                started = False
                time.sleep(random.uniform(0.2, RETRY_SECONDS))
            if not started:
                self._wait(poll * random.uniform(0.5, 1.0))

    def _once(self) -> bool:
        free = self._free()
        if not any(free.values()):
            with self._lock:
                self._lock.wait_for(lambda: any(self._free().values()) or self._stopping.is_set(), timeout=1.0)
            return True
        claimed = self._worker.claim(free)
        for job in claimed:
            self._start(job)
        if not claimed:
            self._look_for_suspects()
        return bool(claimed)

    def _free(self) -> dict[str, int]:
        return {name: total - self._busy[name] for name, total in self._slots.items()}

    def _start(self, job: JobRow) -> None:
        with self._lock:
            self._busy[job.job_class] += 1
        self._pool.submit(self._perform, job)

    def _perform(self, job: JobRow) -> None:
        try:
            self._worker.perform(job)
        except errors.LostLease as lost:
            self._lost(lost)
        except Exception:
            log.exception("job %s could not be ended; it stays claimed until this worker's lease ends", job.id)
        finally:
            with self._lock:
                self._busy[job.job_class] -= 1
                self._lock.notify_all()

    def _look_for_suspects(self) -> None:
        room = sum(self._slots.values()) - len(self._alone)
        for job_id in self._worker.suspects(room) if room > 0 else ():
            with self._lock:
                if job_id in self._alone:
                    continue
                self._alone.add(job_id)
            self._start_suspect(job_id)

    def suspect_ended(self, job_id: str) -> None:
        """The process that ran a suspect has ended, however."""
        with self._lock:
            self._alone.discard(job_id)
            self._lock.notify_all()

    def stop(self, grace: float) -> bool:
        """Claim no more, wait at most ``grace`` seconds for the running jobs; True when none is left."""
        self._stopping.set()
        with self._lock:
            self._lock.notify_all()
            return self._lock.wait_for(lambda: not +self._busy and not self._alone, timeout=grace)

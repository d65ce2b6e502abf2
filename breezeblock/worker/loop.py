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
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from breezeblock import errors
from breezeblock.config import Settings
from breezeblock.core import claims
from breezeblock.core.claims import Turn, Wanted
from breezeblock.core.clock import Clock
from breezeblock.core.jobs import JobRow
from breezeblock.core.leases import Incarnation
from breezeblock.core.resource import Registry
from breezeblock.core.work import Backend, Work, perform
from breezeblock.store.engine import Store, Tx

log = logging.getLogger(__name__)
RETRY_SECONDS: Final = 0.5
RETRY_LONGEST_SECONDS: Final = 10.0
MARK_SECONDS: Final = 5.0
"""How often the low-water mark is read anew."""
LONE_STARTS: Final = 8
"""Lone processes of a class that one look starts: more at once would starve each other past their own leases."""
SUSPECTS_SECONDS: Final = 1.0
"""How often suspects are looked for while there is other work."""


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
        self._after: dict[str, Turn] = {}
        self._low_ms = 0
        self._marked_at = float("-inf")
        self._held: set[str] = set()
        self._unsure = False
        """A claim may have been committed that this process never heard of."""

    def wanted(self, slots: Mapping[str, int]) -> Wanted:
        """What can be taken now."""
        now = self.around.clock.boottime()
        if now - self._marked_at >= MARK_SECONDS:
            self._low_ms = self.around.store.read("jobs.low_water", lambda tx: claims.low_water(tx, self.incarnation.queues))
            self._marked_at = now
        kinds = tuple(self.incarnation.kinds.items())
        return Wanted(self.incarnation.queues, kinds, slots, self._low_ms, dict(self._after))

    def claim(self, slots: Mapping[str, int]) -> list[JobRow]:
        """Claim at most ``slots`` jobs of each class, besides those whose claim was committed unheard. Raises LostLease or Unavailable."""
        wanted, now, me, registry = self.wanted(slots), self.around.clock.utcnow(), self.incarnation.id, self.around.registry

        def work(tx: Tx) -> list[JobRow]:
            unheard = claims.adopt(tx, me, self._held, registry) if tx.rerun or self._unsure else []
            return unheard + claims.claim(tx, me, wanted, registry, now)

        try:
            claimed = self.around.store.run("jobs.claim", work)
        except errors.Unavailable:
            self._unsure = True
            raise
        self._unsure = False
        self._held.update(job.id for job in claimed)
        self._after |= {job.job_class: (job.queue, job.project_id) for job in claimed}
        return claimed

    def suspects(self, job_class: str, besides: Collection[str], limit: int) -> list[str]:
        """Ids of ready suspect jobs of one class; each must run alone, in a process of its own (rule R5)."""
        wanted = self.wanted({})
        return self.around.store.read("jobs.suspects", lambda tx: claims.suspects(tx, wanted, job_class, besides, limit))

    def claim_suspect(self, job_id: str) -> JobRow | None:
        """Claim one suspect; None when another has it."""
        wanted, now = self.wanted({}), self.around.clock.utcnow()
        work = lambda tx: claims.claim_suspect(tx, self.incarnation.id, job_id, wanted, self.around.registry, now)  # noqa: E731
        return self.around.store.run("jobs.claim", work)

    def perform(self, job: JobRow) -> None:
        """Run a claimed job to its end. Raises LostLease.

        While the database is away, or refuses even the job's end, it is run again, which is harmless, until it ends or the lease does.
        """
        around, pause = self.around, RETRY_SECONDS
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
            except errors.LostLease:
                raise
            except errors.Unavailable as away:
                log.warning("job %s %s waits for the database: %s", job.id, job.kind, away)
            except Exception:
                log.exception("job %s %s could not be ended; it is run again in %g s", job.id, job.kind, pause)
            else:
                self._held.discard(job.id)
                return
            around.clock.sleep(pause)
            job, pause = work.job, min(2 * pause, RETRY_LONGEST_SECONDS)


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
        self._alone: dict[str, str] = {}
        self._looked_at = float("-inf")
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
        self._look_for_suspects()
        free = self._free()
        if not any(free.values()):
            with self._lock:
                self._lock.wait_for(lambda: any(self._free().values()) or self._stopping.is_set(), timeout=1.0)
            return True
        claimed = self._worker.claim(free)
        for job in claimed:
            self._start(job)
        return bool(claimed)

    def _free(self) -> dict[str, int]:
        return {name: max(0, total - self._busy[name]) for name, total in self._slots.items()}

    def _start(self, job: JobRow) -> None:
        with self._lock:
            self._busy[job.job_class] += 1
        self._pool.submit(self._perform, job)

    def _perform(self, job: JobRow) -> None:
        try:
            self._worker.perform(job)
        except errors.LostLease as lost:
            self._lost(lost)
        finally:
            with self._lock:
                self._busy[job.job_class] -= 1
                self._lock.notify_all()

    def _look_for_suspects(self) -> None:
        """Start lone processes for them, also while there is other work; no more of a class than it has slots, and a few at a time."""
        now = self._worker.around.clock.boottime()
        if now - self._looked_at < SUSPECTS_SECONDS:
            return
        self._looked_at = now
        for job_class, slots in self._slots.items():
            with self._lock:
                alone = [job_id for job_id, of_class in self._alone.items() if of_class == job_class]
            room = min(slots - len(alone), LONE_STARTS)
            for job_id in self._worker.suspects(job_class, alone, room) if room > 0 else ():
                with self._lock:
                    self._alone[job_id] = job_class
                self._start_suspect(job_id)

    def suspect_ended(self, job_id: str) -> None:
        """The process that ran a suspect has ended, however."""
        with self._lock:
            self._alone.pop(job_id, None)
            self._lock.notify_all()

    def stop(self, grace: float) -> bool:
        """Claim no more, wait at most ``grace`` seconds for the running jobs; True when none is left."""
        self._stopping.set()
        with self._lock:
            self._lock.notify_all()
            return self._lock.wait_for(lambda: not +self._busy and not self._alone, timeout=grace)

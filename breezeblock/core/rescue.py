"""Rescue: taking over the work of the dead, by observation alone (protocol rule R5).

Every process may rescue. A rescuer compares no clocks: it watches beats with its own CLOCK_BOOTTIME
and remembers what it saw in :class:`Watch`, which is worth nothing after a disconnect from the
database. Each step is a compare-and-swap, and each pass repeats whatever a rescuer that died in the
middle left undone.
"""

import contextlib
import dataclasses
import datetime
import functools
import logging
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import LeaseSettings
from breezeblock.core import endings, leases
from breezeblock.core import jobs as job_rules
from breezeblock.core.jobs import JobRow
from breezeblock.core.leases import FENCING, GONE, LIVE, ProcessName
from breezeblock.core.resource import Registry
from breezeblock.store.engine import Store, Tx
from breezeblock.store.sql import now_ms
from breezeblock.store.tables.protocol import jobs, workers

log = logging.getLogger(__name__)
BATCH: Final = 200


@dataclasses.dataclass(slots=True)
class Watch:
    """What one rescuer saw itself: per worker the beat and when it was first seen, per waiting job since when."""

    beats: dict[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    orphans: dict[str, float] = dataclasses.field(default_factory=dict)
    since: float | None = None
    """When the unbroken view of the database began."""
    losses: int = 0
    seen_on: str | None = None

    def see(self, losses: int, servers: Collection[str], now: float) -> None:
        """The database answered at ``now``: ``servers``, after so many ``losses``. What another server said proves nothing of this one."""
        if losses != self.losses or (self.seen_on is not None and any(server != self.seen_on for server in servers)):
            self.forget()
        self.losses = losses
        self.seen_on = next(iter(servers), self.seen_on)
        if self.since is None:
            self.since = now

    def forget(self) -> None:
        """After a disconnect: a gap in the watch proves nothing."""
        self.beats.clear()
        self.orphans.clear()
        self.since = None


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What rescue needs to know of the deployment."""

    times: LeaseSettings
    orphan_timeout: float
    """Seconds after which a job that nobody can run is ended without its driver."""
    max_attempts: int
    """Deaths of processes that ran a job alone, before it counts as poison."""
    fence: Callable[[Any], None]
    """The storage fence and the operator's command, given the worker's row; raises when it did not succeed."""
    end_sessions: Callable[[str], None]
    """Ends the database sessions of a fenced incarnation, which may hold row locks (rule R7)."""


@dataclasses.dataclass(slots=True)
class Rescued:
    """What one pass did; for logs, metrics and tests."""

    fenced: list[str] = dataclasses.field(default_factory=list)
    requeued: list[str] = dataclasses.field(default_factory=list)
    ended: list[str] = dataclasses.field(default_factory=list)


class Rescuer:
    """One process's watch over all others."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        rules: Rules,
        boottime: Callable[[], float],
        utcnow: Callable[[], datetime.datetime],
        proven_dead: Callable[[ProcessName], bool] = leases.proven_dead,
        batch: int = BATCH,
    ) -> None:
        """``batch``: how many jobs a pass looks at, of each sort."""
        self._store = store
        self._registry = registry
        self._rules = rules
        self._boottime = boottime
        self._utcnow = utcnow
        self._proven_dead = proven_dead
        self._batch = batch
        self._known = tuple(registry.kinds().items())
        self.watch = Watch()

    def pass_once(self) -> Rescued:
        """Look at every worker and every job that is nobody's.

        Each is a matter of its own: what goes wrong with one is logged, and the others go on. Raises DatabaseAway, after
        which the watch starts anew; it also does after a loss that was mended silently, or when another server answers.
        """
        done = Rescued()
        try:
            rows = self._store.read("rescue.workers", leases.live_rows)
            self.watch.see(self._store.losses, {row.seen_on for row in rows}, self._boottime())
            self._fence(rows, done)
            self._requeue(done)
            self._orphans(done)
            self._poison(done)
            self._expired(done)
        except errors.DatabaseAway:
            self.watch.forget()
            raise
        return done

    def _stood_still(self, row: Any) -> bool:
        """Whether this worker's beat has stood still, under our own eyes, for lease + margin."""
        now = self._boottime()
        beat, since = self.watch.beats.get(row.id, (None, now))
        if beat != row.beat:
            self.watch.beats[row.id] = (row.beat, now)
            return False
        return now - since > self._rules.times.lease_seconds + self._rules.times.margin

    def _fence(self, rows: Any, done: Rescued) -> None:
        for gone in self.watch.beats.keys() - {row.id for row in rows}:
            del self.watch.beats[gone]
        for row in rows:
            with _apart("worker", row.id):
                if row.state == LIVE and not (self._stood_still(row) or self._proven_dead(ProcessName.parse(row.process))):
                    continue
                if row.state == LIVE and not self._store.run("rescue.fencing", functools.partial(leases.mark_fencing, row=row)):
                    continue
                if self._fence_one(row):
                    done.fenced.append(row.id)

    def _fence_one(self, row: Any) -> bool:
        """The host's, the storage's and the operator's fence, then the database's; retried at the next pass when one fails."""
        try:
            leases.kill(ProcessName.parse(row.process))
            self._rules.fence(row)
        except Exception:
            log.exception("worker %s on %s could not be fenced; nothing of it is taken over until it is", row.id, row.host)
            return False
        now, blamed = self._utcnow(), self._died_of_its_job(row)
        won = self._store.run("rescue.fenced", lambda tx: leases.mark_fenced(tx, row.id, now, blamed=blamed))
        self._rules.end_sessions(row.id)
        if won:
            log.warning("worker %s on %s was fenced; its jobs will be taken over", row.id, row.host)
        return won

    def _died_of_its_job(self, row: Any) -> bool:
        """Whether the one job of a lone process killed it.

        A process of this host that is gone, while we saw the database all the time that a lease lasts, did not die for
        lack of the database (rule R5); of other hosts' processes we cannot know.
        """
        times, since = self._rules.times, self.watch.since
        watched = since is not None and self._boottime() - since > times.lease_seconds + times.margin
        return bool(row.solo) and watched and self._proven_dead(ProcessName.parse(row.process))

    def _requeue(self, done: Rescued) -> None:
        """Give back every claimed job whose owner is fenced, gone or missing, whoever fenced it; free the lanes of cancelled ones."""
        alive = sa.select(workers.c.id).where(workers.c.state.in_((LIVE, FENCING)))
        orphaned = sa.and_(jobs.c.owner.is_not(None), jobs.c.owner.not_in(alive))
        found = self._store.read(
            "rescue.find",
            lambda tx: tx.execute(
                sa.select(jobs.c.id, jobs.c.state, jobs.c.queue, jobs.c.epoch, jobs.c.owner)
                .where(jobs.c.state.in_(("claimed", "cancelled")), orphaned)
                .order_by(jobs.c.id)
                .limit(self._batch)
            ).all(),
        )
        for row in found:
            with _apart("job", row.id):
                if self._store.run("rescue.requeue", functools.partial(self._requeue_one, row=row)):
                    done.requeued.append(row.id)

    def _requeue_one(self, tx: Tx, row: Any) -> bool:
        clean = sa.exists(sa.select(workers.c.id).where(workers.c.id == row.owner, workers.c.state == GONE))
        mine = (jobs.c.id == row.id, jobs.c.state == row.state, jobs.c.epoch == row.epoch, jobs.c.owner == row.owner)
        if row.state == "cancelled":
            if tx.execute(sa.update(jobs).where(*mine).values(owner=None)).rowcount != 1:
                return False
            job_rules.free_lanes(tx, [row.id], self._registry)
        else:
            blamed = sa.exists(sa.select(workers.c.id).where(workers.c.id == row.owner, workers.c.blamed))
            attempts = jobs.c.attempts + sa.case((blamed, 1), else_=0)
            queued = sa.update(jobs).where(*mine).values(state="queued", queued_ms=now_ms(), owner=None, suspect=~clean, attempts=attempts)
            if tx.execute(queued).rowcount != 1:
                return False
        tx.wake(row.queue)
        return True

    def _waiting(self, tx: Tx, *where: sa.ColumnElement[bool]) -> list[JobRow]:
        """Queued jobs that this binary may end, because it knows what their requests took; the oldest of them."""
        known = sa.tuple_(jobs.c.kind, jobs.c.version).in_(self._known)
        return job_rules.rows(tx, jobs.c.state == "queued", known, *where, limit=self._batch)

    def _orphans(self, done: Rescued) -> None:
        """End what no live worker can run, after we have watched it wait for ``orphan_timeout``."""
        now = self._boottime()
        waiting = self._store.read("rescue.orphans", self._without_worker)
        self.watch.orphans = {job.id: self.watch.orphans.get(job.id, now) for job in waiting}
        for job in waiting:
            if now - self.watch.orphans[job.id] > self._rules.orphan_timeout:
                self._abandon(job, errors.NoCapableWorker(queue=job.queue, verb=job.kind), done)

    def _without_worker(self, tx: Tx) -> list[JobRow]:
        """Queued jobs that no live worker could claim: nobody serves the queue, or nobody knows the kind at that version."""
        waiting = tx.execute(sa.select(jobs.c.queue, jobs.c.kind, jobs.c.version).where(jobs.c.state == "queued").distinct()).all()
        if not waiting:
            return []
        served = {
            (queue, kind, version)
            for row in leases.live_rows(tx, (LIVE,))
            if not row.solo
            for queue in row.queues
            for kind, version in row.kinds.items()
        }
        lost = [tuple(row) for row in waiting if tuple(row) not in served]
        return self._waiting(tx, sa.tuple_(jobs.c.queue, jobs.c.kind, jobs.c.version).in_(lost)) if lost else []

    def _poison(self, done: Rescued) -> None:
        """End jobs whose every lone runner died."""
        for job in self._store.read("rescue.poison", lambda tx: self._waiting(tx, jobs.c.attempts >= self._rules.max_attempts)):
            self._abandon(job, errors.DriverError(reason=f"{job.attempts} processes died while they ran it"), done)

    def _expired(self, done: Rescued) -> None:
        """End synchronous jobs that nobody waits for any more and nobody started (rule R11)."""
        late = (jobs.c.expires_at_ms.is_not(None), jobs.c.expires_at_ms <= now_ms())
        for job in self._store.read("rescue.expired", lambda tx: self._waiting(tx, *late)):
            self._abandon(job, errors.NoCapableWorker(queue=job.queue, verb=job.kind), done)

    def _abandon(self, job: JobRow, reason: errors.Error, done: Rescued) -> None:
        now, transition = self._utcnow(), self._registry.verbs[job.kind].transition
        with _apart("job", job.id):
            try:
                ended = self._store.run("rescue.abandon", lambda tx: endings.abandon(tx, job, self._registry, reason, now))
            except (errors.LostClaim, errors.CounterBroken):
                log.critical("job %s %s could not be abandoned as it should, and is dropped", job.id, job.kind, exc_info=True)
                ended = self._store.run("rescue.drop", lambda tx: endings.drop(tx, job, transition, self._registry, reason, now))
            if ended:
                done.ended.append(job.id)


@contextlib.contextmanager
def _apart(what: str, name: str) -> Iterator[None]:
    """Let one failure be one failure; but not the database's absence, which makes the whole watch worthless."""
    try:
        yield
    except errors.DatabaseAway:
        raise
    except Exception:
        log.exception("%s %s could not be rescued now; the next pass tries again", what, name)

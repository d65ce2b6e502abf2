"""Jobs: who may work on what. The database decides; nobody's clock does.

A job is claimed by a live incarnation, which takes the job's lanes with it (protocol rules R3, R4,
R10), and is changed by the same incarnation at the same epoch, or by nobody (:class:`LostClaim`);
:mod:`breezeblock.core.endings` ends it.
Lock order in every function here: worker, jobs, resources, and what the caller adds after
(rule R9). This module names no resource and calls no driver.
"""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.resource import Registry
from breezeblock.core.transitions import Guard, rank
from breezeblock.drivers.interface import Token
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_key_share, for_update, now_ms
from breezeblock.store.tables.protocol import deployment, job_lanes, jobs, workers

UNFINISHED: Final = ("queued", "claimed")


@dataclasses.dataclass(frozen=True, slots=True)
class Lane:
    """One resource that a job holds or shares."""

    resource_type: str
    resource_id: str
    generation: int
    shared: bool


@dataclasses.dataclass(frozen=True, slots=True)
class JobRow:
    """A job as its holder sees it."""

    id: str
    seq: int
    kind: str
    version: int
    payload: Mapping[str, Any]
    queue: str
    job_class: str
    owner: str | None
    epoch: int
    resource_type: str
    resource_id: str
    project_id: str
    user_id: str
    request_id: str | None
    suspect: bool
    attempts: int
    checkpoint: Any
    claimed_at: Any
    """Of a claimed job: when it was claimed *before*; None for the first time in its queue."""
    lanes: tuple[Lane, ...] = ()
    db_term: int = 1

    def tokens(self) -> dict[str, Token]:
        """A fence token for each lane (rule R2)."""
        return {lane.resource_id: Token(self.db_term, lane.generation, self.epoch) for lane in self.lanes}


COLUMNS: Final = tuple(
    jobs.c[name]
    for name in (
        "id",
        "seq",
        "kind",
        "version",
        "payload",
        "queue",
        "class",
        "owner",
        "epoch",
        "resource_type",
        "resource_id",
        "project_id",
        "user_id",
        "request_id",
        "suspect",
        "attempts",
        "checkpoint",
        "claimed_at",
    )
)


_TERM: Final = sa.select(deployment.c.db_term).scalar_subquery().label("db_term")
_HOLD: Final = for_key_share(sa.select(workers.c.state, _TERM).where(workers.c.id == sa.bindparam("worker")))


def hold_worker(tx: Tx, worker_id: str) -> int:
    """Lock the worker's own row, check that it is live, and return the deployment's ``db_term``. Raises LostLease (rule R4).

    The lock holds off who fences (:func:`breezeblock.core.leases.mark_fencing`), and lets the beat pass where it can.
    """
    row = tx.execute(_HOLD, {"worker": worker_id}).one_or_none()
    state, db_term = ("nothing", 0) if row is None else (row.state, row.db_term)
    if state != "live":
        raise errors.LostLease(worker=worker_id, reason=f"its row says {state}")
    return int(db_term)


_LANE: Final = (job_lanes.c.resource_type, job_lanes.c.resource_id, job_lanes.c.generation, job_lanes.c.shared)
_LANES: Final = sa.select(*_LANE).where(job_lanes.c.job_id == sa.bindparam("job"))


def lanes_of(tx: Tx, job_id: str, registry: Registry) -> tuple[Lane, ...]:
    """The job's lanes, in lock order."""
    found = [Lane(*tuple(row)) for row in tx.execute(_LANES, {"job": job_id})]
    return tuple(sorted(found, key=lambda lane: lane_order(registry, lane)))


def lane_order(registry: Registry, lane: Lane) -> tuple[int, str]:
    """A lane's place in the lock order (rule R9)."""
    return rank(registry.table(lane.resource_type)), lane.resource_id


def leave_lane(tx: Tx, table: sa.Table, lane: Lane, job_id: str, values: Mapping[str, Any]) -> bool:
    """Give one lane back, writing ``values`` with it."""
    where = [table.c.id == lane.resource_id]
    if not lane.shared:
        where.append(table.c.running_job == job_id)
        values = {**values, "running_job": None}
    return tx.execute(sa.update(table).where(*where).values(values)).rowcount == 1


def checkpoint(tx: Tx, job: JobRow, state: Any) -> None:
    """Record how far the job is; resets its count of deaths (rule R5). Raises LostLease or LostClaim."""
    hold_worker(tx, holder(job))
    own(tx, job, {"checkpoint": state, "attempts": 0})


def holder(job: JobRow) -> str:
    """The incarnation that claimed the job."""
    assert job.owner is not None, "only a claimed job has a holder"
    return job.owner


_OWN: Final = sa.update(jobs).where(
    jobs.c.id == sa.bindparam("mine"),
    jobs.c.owner == sa.bindparam("me"),
    jobs.c.epoch == sa.bindparam("at"),
    jobs.c.state == "claimed",
)
_OWN_ANEW: Final = _OWN.values(queued_ms=now_ms())


def own(tx: Tx, job: JobRow, values: Mapping[str, Any], *, anew: bool = False) -> None:
    """Change the job's row if it is still ours; raises LostClaim. ``anew``: it enters a queue now."""
    if tx.execute(_OWN_ANEW if anew else _OWN, {**values, "mine": job.id, "me": job.owner, "at": job.epoch}).rowcount != 1:
        raise errors.LostClaim(job=job.id, epoch=job.epoch)


def hand_off(
    tx: Tx,
    job: JobRow,
    registry: Registry,
    queue: str,
    values: Mapping[str, Any],
    last: Callable[[Tx], None] | None = None,
) -> None:
    """Move the claimed job to another queue and give its lanes back, in one transaction; ``values`` go to the resource's row.

    ``last`` changes pools and quotas. What the job did to its processes so far is forgotten: it starts afresh there.
    Raises LostLease or LostClaim.
    """
    hold_worker(tx, holder(job))
    afresh = {"claimed_at": None, "suspect": False, "attempts": 0}
    own(tx, job, {"state": "queued", "owner": None, "queue": queue} | afresh, anew=True)
    for lane in job.lanes:
        if lane.shared:
            continue
        published = values if lane.resource_id == job.resource_id else {}
        if not leave_lane(tx, registry.table(lane.resource_type), lane, job.id, published):
            raise errors.LostClaim(job=job.id, epoch=job.epoch)
    if last is not None:
        last(tx)
    tx.wake(queue)


def acknowledge(tx: Tx, job: JobRow, registry: Registry) -> bool:
    """The holder of a cancelled job says that it has stopped: free the lanes (rule R3). False when it was not cancelled."""
    hold_worker(tx, holder(job))
    mine = (jobs.c.id == job.id, jobs.c.owner == job.owner, jobs.c.epoch == job.epoch, jobs.c.state == "cancelled")
    if tx.execute(sa.update(jobs).where(*mine).values(owner=None)).rowcount != 1:
        return False
    free_lanes(tx, [job.id], registry)
    tx.wake(job.queue)
    return True


def free_lanes(tx: Tx, job_ids: Sequence[str], registry: Registry) -> None:
    """Give back every lane of jobs that run no more, in lock order over all of them."""
    lanes = [(job_id, lane) for job_id in job_ids for lane in lanes_of(tx, job_id, registry)]
    for job_id, lane in sorted(lanes, key=lambda each: lane_order(registry, each[1])):
        table = registry.table(lane.resource_type)
        counter = table.c.pins if lane.shared else table.c.live_jobs
        values: dict[Any, Any] = {counter.name: counter - 1}
        if not lane.shared:
            values["running_job"] = unless_running(table, job_id)
        tx.execute(sa.update(table).where(table.c.id == lane.resource_id).values(values))
    if job_ids:
        tx.execute(sa.delete(job_lanes).where(job_lanes.c.job_id.in_(job_ids)))


def unless_running(table: sa.Table, job_id: str) -> sa.ColumnElement[str | None]:
    """``running_job`` without this job: a job that waits does not hold the lane, and must not free it for another."""
    return sa.case((table.c.running_job == job_id, None), else_=table.c.running_job)


@dataclasses.dataclass(frozen=True, slots=True)
class Cancelled:
    """What :func:`cancel_all` did, for the rest of its transaction."""

    jobs: tuple[JobRow, ...]
    generation: int
    """Of the resource, before: a job that was begun meanwhile has raised it."""

    @property
    def guard(self) -> Guard:
        """Stands in the change of the resource's row that follows: whoever is refused by it must try the whole again."""
        return Guard("generation", self.generation, "another operation on it was begun at the same moment")


def cancel_all(tx: Tx, table: sa.Table, resource_id: str, registry: Registry, now: datetime.datetime) -> Cancelled:
    """Cancel the unfinished jobs of a resource, in the transaction that overrides its status (rule R3).

    A queued job's lanes are free at once; a claimed one keeps them until its holder acknowledges or is fenced.
    The caller then changes the resource's row under :attr:`Cancelled.guard`, and calls :func:`give_back` last.
    :mod:`breezeblock.core.overrides` is all of it for a verb.
    """
    generation = generation_of(tx, table, resource_id)
    where = (jobs.c.resource_id == resource_id, jobs.c.state.in_(UNFINISHED))
    found = tx.execute(for_update(sa.select(*COLUMNS, jobs.c.state).where(*where).order_by(jobs.c.id))).all()
    cancelled = [(JobRow(*tuple(row)[:-1]), row[-1]) for row in found]
    if cancelled:
        ids = [job.id for job, _ in cancelled]
        tx.execute(sa.update(jobs).where(jobs.c.id.in_(ids)).values(state="cancelled", ended_at=now))
        free_lanes(tx, [job.id for job, state in cancelled if state == "queued"], registry)
    return Cancelled(tuple(job for job, _ in cancelled), generation or 0)


def give_back(tx: Tx, cancelled: Cancelled, registry: Registry) -> None:
    """What the requests of cancelled jobs took, each by its verb's ``undo``: pools and quotas, last before the commit."""
    for job in cancelled.jobs:
        undo(tx, job, registry)


def generation_of(tx: Tx, table: sa.Table, resource_id: str) -> int | None:
    """The resource's generation, which every new job raises; None when the row is gone."""
    return tx.execute(sa.select(table.c.generation).where(table.c.id == resource_id)).scalar_one_or_none()


def undo(tx: Tx, job: JobRow, registry: Registry) -> None:
    """Give back what the job's request took, by its verb; a payload of an unknown version gives back nothing."""
    verb = registry.verb_of(job.kind, job.version)
    if verb is not None and verb.undo is not None:
        verb.undo(tx, job, verb.payload.of(job.payload))


def rows(tx: Tx, *where: sa.ColumnElement[bool], limit: int = 100) -> list[JobRow]:
    """Jobs by condition, the oldest first."""
    return [JobRow(*tuple(row)) for row in tx.execute(sa.select(*COLUMNS).where(*where).order_by(jobs.c.seq).limit(limit))]

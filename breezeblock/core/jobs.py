"""Jobs: who may work on what, and how work ends. The database decides; nobody's clock does.

A job is claimed by a live incarnation, which takes the job's lanes with it (protocol rules R3, R4,
R10), and is ended by the same incarnation at the same epoch, or by nobody (:class:`LostClaim`).
Lock order in every function here: worker, jobs, resources, and what the caller adds after
(rule R9). This module names no resource and calls no driver.
"""

import dataclasses
import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import events
from breezeblock.core.resource import Registry
from breezeblock.core.transitions import Change, End, Refused, Transition, apply, rank
from breezeblock.drivers.interface import Token
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_share, for_update
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
    )
)


def hold_worker(tx: Tx, worker_id: str) -> int:
    """Lock the worker's own row, check that it is live, and return the deployment's ``db_term``. Raises LostLease (rule R4)."""
    term = sa.select(deployment.c.db_term).scalar_subquery().label("db_term")
    statement = sa.select(workers.c.state, term).where(workers.c.id == worker_id)
    row = tx.execute(for_share(statement)).one_or_none()
    state, db_term = ("nothing", 0) if row is None else (row.state, row.db_term)
    if state != "live":
        raise errors.LostLease(worker=worker_id, reason=f"its row says {state}")
    return int(db_term)


def lanes_of(tx: Tx, job_id: str, registry: Registry) -> tuple[Lane, ...]:
    """The job's lanes, in lock order."""
    columns = (job_lanes.c.resource_type, job_lanes.c.resource_id, job_lanes.c.generation, job_lanes.c.shared)
    found = [Lane(*tuple(row)) for row in tx.execute(sa.select(*columns).where(job_lanes.c.job_id == job_id))]
    return tuple(sorted(found, key=lambda lane: (rank(registry.table(lane.resource_type)), lane.resource_id)))


def leave_lane(tx: Tx, table: sa.Table, lane: Lane, job_id: str, values: Mapping[str, Any]) -> bool:
    """Give one lane back, writing ``values`` with it."""
    where = [table.c.id == lane.resource_id]
    if not lane.shared:
        where.append(table.c.running_job == job_id)
        values = {**values, "running_job": None}
    return tx.execute(sa.update(table).where(*where).values(values)).rowcount == 1


def checkpoint(tx: Tx, job: JobRow, state: Any) -> None:
    """Record how far the job is; resets its count of deaths (rule R5). Raises LostLease or LostClaim."""
    hold_worker(tx, _holder(job))
    _own(tx, job, {"checkpoint": state, "attempts": 0})


def _holder(job: JobRow) -> str:
    assert job.owner is not None, "only a claimed job has a holder"
    return job.owner


def _own(tx: Tx, job: JobRow, values: Mapping[str, Any]) -> None:
    """Change the job's row if it is still ours; raises LostClaim."""
    mine = (jobs.c.id == job.id, jobs.c.owner == job.owner, jobs.c.epoch == job.epoch)
    if tx.execute(sa.update(jobs).where(*mine, jobs.c.state == "claimed").values(dict(values))).rowcount != 1:
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

    ``last`` changes pools and quotas. Raises LostLease or LostClaim.
    """
    hold_worker(tx, _holder(job))
    _own(tx, job, {"state": "queued", "owner": None, "queue": queue, "claimed_at": None})
    for lane in job.lanes:
        if lane.shared:
            continue
        own = values if lane.resource_id == job.resource_id else {}
        if not leave_lane(tx, registry.table(lane.resource_type), lane, job.id, own):
            raise errors.LostClaim(job=job.id, epoch=job.epoch)
    if last is not None:
        last(tx)
    tx.wake(queue)


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends: its state, where the resource goes, and everything published with it."""

    ok: bool
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Columns of the job's own resource."""
    also: Sequence[Change] = ()
    """Other rows; those of the job's side lanes are merged with the freeing of the lane."""
    result: Any = None
    error: errors.Error | None = None
    last: Callable[[Tx], None] | None = None
    """Pools and quotas, the last writes before the commit (rule R9)."""


def finish(tx: Tx, job: JobRow, transition: Transition, registry: Registry, ending: Ending, now: datetime.datetime) -> None:
    """End a claimed job: publish its effect, free its lanes, record the event; all or nothing.

    Raises LostLease when the worker is no longer live and LostClaim when the job is not its own any more;
    the transaction must then be rolled back and the result dropped. A repetition after a commit whose outcome
    was unknown finds its own end and succeeds (rule R7).
    """
    hold_worker(tx, _holder(job))
    state = "done" if ending.ok else "failed"
    try:
        _own(tx, job, {"state": state, "ended_at": now, "result": ending.result, "error": _described(ending.error)})
    except errors.LostClaim:
        if _ended_by_me(tx, job, state):
            return
        raise
    publish(tx, job, transition, registry, ending, now)


def _described(error: errors.Error | None) -> Mapping[str, str] | None:
    return None if error is None else {"code": error.code, "message": error.message}


def _ended_by_me(tx: Tx, job: JobRow, state: str) -> bool:
    mine = (jobs.c.id == job.id, jobs.c.owner == job.owner, jobs.c.epoch == job.epoch, jobs.c.state == state)
    return tx.execute(sa.select(jobs.c.id).where(*mine)).one_or_none() is not None


def publish(tx: Tx, job: JobRow, transition: Transition, registry: Registry, ending: Ending, now: datetime.datetime) -> None:
    """What a job's end does besides the job's own row. The caller has ended that row in the same transaction."""
    end = transition.done if ending.ok else transition.failed
    event_written = _record_end(tx, job, transition, ending, now) if end is End.DELETED else False
    extra = {change.id: change for change in ending.also}
    steps: list[tuple[tuple[int, str], Callable[[], None]]] = []
    for lane in job.lanes:
        table = registry.table(lane.resource_type)
        if lane.resource_id == job.resource_id:
            step = functools.partial(_end_resource, tx, job, transition, end, ending, now)
        else:
            step = functools.partial(_end_lane, tx, job, table, lane, extra.pop(lane.resource_id, None))
        steps.append(((rank(table), lane.resource_id), step))
    steps += ((change.order, functools.partial(_change, tx, job, transition, change)) for change in extra.values())
    for _, perform in sorted(steps, key=lambda each: each[0]):
        perform()
    tx.execute(sa.delete(job_lanes).where(job_lanes.c.job_id == job.id))
    if not event_written:
        _record_end(tx, job, transition, ending, now)
    if ending.error is not None:
        _tell(tx, job, transition, ending.error, now)
    if ending.last is not None:
        ending.last(tx)
    tx.wake(job.queue)


def _change(tx: Tx, job: JobRow, transition: Transition, change: Change) -> None:
    try:
        apply(tx, transition.name, change)
    except Refused as refused:
        raise errors.LostClaim(job=job.id, epoch=job.epoch) from refused


def _end_resource(tx: Tx, job: JobRow, transition: Transition, end: Any, ending: Ending, now: datetime.datetime) -> None:
    table = transition.table
    where = [table.c.id == job.resource_id]
    if job.owner is not None:
        where.append(table.c.running_job == job.id)
    if transition.via is not None:
        where.append(table.c.status == transition.via)
    if end is End.DELETED:
        changed = tx.execute(sa.delete(table).where(*where)).rowcount
    else:
        values: dict[Any, Any] = {"running_job": None, "live_jobs": table.c.live_jobs - 1, "updated_at": now, **ending.values}
        if end is End.PREVIOUS:
            values |= {"status": table.c.previous_status, "previous_status": None}
        elif end is not None:
            values |= {"status": end, "previous_status": None}
        changed = tx.execute(sa.update(table).where(*where).values(values)).rowcount
    if changed != 1:
        raise errors.LostClaim(job=job.id, epoch=job.epoch)


def _end_lane(tx: Tx, job: JobRow, table: sa.Table, lane: Lane, change: Change | None) -> None:
    if change is not None and change.remove:
        gone = sa.delete(table).where(table.c.id == lane.resource_id, table.c.running_job == job.id)
        if tx.execute(gone).rowcount != 1:
            raise errors.LostClaim(job=job.id, epoch=job.epoch)
        return
    counter = table.c.pins if lane.shared else table.c.live_jobs
    values = {**(change.values if change is not None else {}), counter.name: counter - 1}
    if job.owner is None and not lane.shared:
        tx.execute(sa.update(table).where(table.c.id == lane.resource_id).values(values))
    elif not leave_lane(tx, table, lane, job.id, values):
        raise errors.LostClaim(job=job.id, epoch=job.epoch)


def _record_end(tx: Tx, job: JobRow, transition: Transition, ending: Ending, now: datetime.datetime) -> bool:
    events.record(
        tx,
        at=now,
        resource_type=job.resource_type,
        resource_id=job.resource_id,
        project_id=job.project_id,
        action=f"{transition.name}.{'done' if ending.ok else 'failed'}",
        from_status=transition.via,
        to_status=_named(transition.done if ending.ok else transition.failed),
        job_id=job.id,
        epoch=job.epoch,
        worker_id=job.owner,
        request_id=job.request_id,
        detail=None if ending.error is None else ending.error.message,
    )
    return True


def _named(end: Any) -> str | None:
    return end.value if isinstance(end, End) else end


def _tell(tx: Tx, job: JobRow, transition: Transition, error: errors.Error, now: datetime.datetime) -> None:
    resource, verb = transition.name.split(".", 1)
    events.tell(
        tx,
        now=now,
        project_id=job.project_id,
        resource_type=f"VOLUME{'' if resource == 'volumes' else '_' + resource[:-1].upper()}",
        resource_id=job.resource_id,
        event_id=error.code,
        text=f"{verb.replace('_', ' ').capitalize()} failed: {error.message}",
        request_id=job.request_id,
    )


def acknowledge(tx: Tx, job: JobRow, registry: Registry) -> bool:
    """The holder of a cancelled job says that it has stopped: free the lanes (rule R3). False when it was not cancelled."""
    hold_worker(tx, _holder(job))
    mine = (jobs.c.id == job.id, jobs.c.owner == job.owner, jobs.c.epoch == job.epoch, jobs.c.state == "cancelled")
    if tx.execute(sa.update(jobs).where(*mine).values(owner=None)).rowcount != 1:
        return False
    free_lanes(tx, job.id, registry)
    tx.wake(job.queue)
    return True


def free_lanes(tx: Tx, job_id: str, registry: Registry) -> None:
    """Give back every lane of a job that runs no more."""
    for lane in lanes_of(tx, job_id, registry):
        table = registry.table(lane.resource_type)
        counter = table.c.pins if lane.shared else table.c.live_jobs
        values: dict[Any, Any] = {counter.name: counter - 1}
        if not lane.shared:
            values["running_job"] = sa.case((table.c.running_job == job_id, None), else_=table.c.running_job)
        tx.execute(sa.update(table).where(table.c.id == lane.resource_id).values(values))
    tx.execute(sa.delete(job_lanes).where(job_lanes.c.job_id == job_id))


def cancel_all(tx: Tx, resource_id: str, registry: Registry, now: datetime.datetime) -> list[str]:
    """Cancel the unfinished jobs of a resource, in the transaction that overrides its status (rule R3).

    A queued job's lanes are free at once; a claimed one keeps them until its holder acknowledges or is fenced.
    Each verb's ``undo`` gives back what its request took. Returns the ids of the cancelled jobs.
    """
    where = (jobs.c.resource_id == resource_id, jobs.c.state.in_(UNFINISHED))
    found = tx.execute(for_update(sa.select(*COLUMNS, jobs.c.state).where(*where).order_by(jobs.c.id))).all()
    for row in found:
        job, state = JobRow(*tuple(row)[:-1]), row[-1]
        tx.execute(sa.update(jobs).where(jobs.c.id == job.id).values(state="cancelled", ended_at=now))
        if state == "queued":
            free_lanes(tx, job.id, registry)
        undo(tx, job, registry)
    return [row.id for row in found]


def undo(tx: Tx, job: JobRow, registry: Registry) -> None:
    """Give back what the job's request took, by its verb; a payload of an unknown version gives back nothing."""
    verb = registry.verbs.get(job.kind)
    if verb is not None and verb.undo is not None and verb.payload.version == job.version:
        verb.undo(tx, job, verb.payload.of(job.payload))


def abandon(tx: Tx, job: JobRow, registry: Registry, error: errors.Error, now: datetime.datetime) -> bool:
    """End a queued job without its driver (rule R5): back to the previous status if it never ran, else the verb's error status.

    False when it is no longer queued at this epoch.
    """
    verb = registry.verbs[job.kind]
    queued = (jobs.c.id == job.id, jobs.c.state == "queued", jobs.c.epoch == job.epoch)
    ended = sa.update(jobs).where(*queued).values(state="failed", ended_at=now, error=_described(error))
    if tx.execute(ended).rowcount != 1:
        return False
    transition = verb.transition
    if job.epoch == 0 and transition.allowed and transition.via is not None:
        transition = dataclasses.replace(transition, failed=End.PREVIOUS)
    job = dataclasses.replace(job, owner=None, lanes=lanes_of(tx, job.id, registry))
    publish(tx, job, transition, registry, Ending(ok=False, error=error, last=lambda tx: undo(tx, job, registry)), now)
    return True


def rows(tx: Tx, *where: sa.ColumnElement[bool], limit: int = 100) -> list[JobRow]:
    """Jobs by condition, the oldest first."""
    return [JobRow(*tuple(row)) for row in tx.execute(sa.select(*COLUMNS).where(*where).order_by(jobs.c.seq).limit(limit))]

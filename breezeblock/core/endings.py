"""How work ends: publishing an effect, giving up, and what both leave for people to read.

A claimed job is ended by its holder, at its epoch, in one transaction that also moves the resource, frees the lanes and
changes the counters (:func:`finish`). A queued one can be ended by anybody who knows that it will not run
(:func:`abandon`). :func:`drop` is for a job whose rows are not as it left them: it ends too. Lock order: worker, jobs,
resources, and the caller's ``last`` (protocol rule R9).
"""

import dataclasses
import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import events
from breezeblock.core.jobs import JobRow, Lane, free_lanes, hold_worker, holder, lanes_of, leave_lane, own, undo, unless_running
from breezeblock.core.resource import Registry
from breezeblock.core.transitions import Change, End, Refused, Transition, apply, rank
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import job_lanes, jobs


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends: its state, where the resource goes, and everything published with it."""

    ok: bool
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Columns of the job's own resource."""
    also: Sequence[Change] = ()
    """Other rows, each once; those of the job's side lanes are merged with the freeing of the lane."""
    result: Any = None
    error: errors.Error | None = None
    last: Callable[[Tx], None] | None = None
    """Pools and quotas, the last writes before the commit (rule R9)."""

    @property
    def state(self) -> str:
        """The job's last state."""
        return "done" if self.ok else "failed"


def finish(tx: Tx, job: JobRow, transition: Transition, registry: Registry, ending: Ending, now: datetime.datetime) -> None:
    """End a claimed job: publish its effect, free its lanes, record the event; all or nothing.

    Raises LostLease when the worker is no longer live and LostClaim when the job is not its own any more;
    the transaction must then be rolled back and the result dropped. A repetition after a commit whose outcome
    was unknown finds its own end and succeeds (rule R7).
    """
    hold_worker(tx, holder(job))
    try:
        own(tx, job, {"state": ending.state, "ended_at": now, "result": ending.result, "error": _described(ending.error)})
    except errors.LostClaim:
        if _ended_by_me(tx, job, ending.state):
            return
        raise
    publish(tx, job, transition, registry, ending, now)


def _described(error: errors.Error | None) -> Mapping[str, str] | None:
    return None if error is None else {"code": error.code, "message": events.fit(error.message)}


def _ended_by_me(tx: Tx, job: JobRow, state: str) -> bool:
    mine = (jobs.c.id == job.id, jobs.c.owner == job.owner, jobs.c.epoch == job.epoch, jobs.c.state == state)
    return tx.execute(sa.select(jobs.c.id).where(*mine)).one_or_none() is not None


_FREE: Final = sa.delete(job_lanes).where(job_lanes.c.job_id == sa.bindparam("job"))


def publish(tx: Tx, job: JobRow, transition: Transition, registry: Registry, ending: Ending, now: datetime.datetime) -> None:
    """What a job's end does besides the job's own row. The caller has ended that row in the same transaction."""
    end = transition.done if ending.ok else transition.failed
    if end is End.DELETED:
        _record_end(tx, job, transition, ending, now)
    for _, perform in sorted(_steps(tx, job, transition, registry, ending, now), key=lambda each: each[0]):
        perform()
    tx.execute(_FREE, {"job": job.id})
    if end is not End.DELETED:
        _record_end(tx, job, transition, ending, now)
    if ending.error is not None:
        _tell(tx, job, transition, ending.error, now)
    if ending.last is not None:
        ending.last(tx)
    tx.wake(job.queue)


Step = tuple[tuple[int, str], Callable[[], None]]


def _steps(tx: Tx, job: JobRow, transition: Transition, registry: Registry, ending: Ending, now: datetime.datetime) -> list[Step]:
    """The changes of rows that the end consists of, each with its place in the lock order."""
    extra = {change.id: change for change in ending.also}
    assert len(extra) == len(ending.also), f"{transition.name} ends with two changes of one row"
    assert job.resource_id not in extra, f"{transition.name} changes its own resource beside its end: that belongs in its values"
    steps: list[Step] = []
    for lane in job.lanes:
        table = registry.table(lane.resource_type)
        if lane.resource_id == job.resource_id:
            step = functools.partial(_end_resource, tx, job, transition, ending, now)
        else:
            step = functools.partial(_end_lane, tx, job, table, lane, extra.pop(lane.resource_id, None))
        steps.append(((rank(table), lane.resource_id), step))
    steps += ((change.order, functools.partial(_change, tx, job, transition, change)) for change in extra.values())
    return steps


def _change(tx: Tx, job: JobRow, transition: Transition, change: Change) -> None:
    try:
        apply(tx, transition.name, change)
    except Refused as refused:
        raise errors.LostClaim(job=job.id, epoch=job.epoch) from refused


def _end_resource(tx: Tx, job: JobRow, transition: Transition, ending: Ending, now: datetime.datetime) -> None:
    table = transition.table
    where = [table.c.id == job.resource_id]
    if job.owner is not None:
        where.append(table.c.running_job == job.id)
    if transition.via is not None:
        where.append(table.c.status == transition.via)
    end = transition.done if ending.ok else transition.failed
    if end is End.DELETED:
        changed = tx.execute(sa.delete(table).where(*where)).rowcount
    else:
        lane = {"running_job": unless_running(table, job.id), "live_jobs": table.c.live_jobs - 1}
        values = {**lane, "updated_at": now, **ending.values, **_status(table, end)}
        changed = tx.execute(sa.update(table).where(*where).values(values)).rowcount
    if changed != 1:
        raise errors.LostClaim(job=job.id, epoch=job.epoch)


def _status(table: sa.Table, end: str | End | None) -> dict[str, Any]:
    if end is None:
        return {}
    return {"status": table.c.previous_status if end is End.PREVIOUS else end, "previous_status": None}


def _end_lane(tx: Tx, job: JobRow, table: sa.Table, lane: Lane, change: Change | None) -> None:
    if change is not None and change.remove:
        gone = sa.delete(table).where(table.c.id == lane.resource_id, table.c.running_job == job.id)
        if tx.execute(gone).rowcount != 1:
            raise errors.LostClaim(job=job.id, epoch=job.epoch)
        return
    counter = table.c.pins if lane.shared else table.c.live_jobs
    values = {**(change.values if change is not None else {}), counter.name: counter - 1}
    if job.owner is None and not lane.shared:
        values["running_job"] = unless_running(table, job.id)
        tx.execute(sa.update(table).where(table.c.id == lane.resource_id).values(values))
    elif not leave_lane(tx, table, lane, job.id, values):
        raise errors.LostClaim(job=job.id, epoch=job.epoch)


def abandon(tx: Tx, job: JobRow, registry: Registry, error: errors.Error, now: datetime.datetime) -> bool:
    """End a queued job without its driver (rule R5): back to the previous status if it never ran, else the verb's error status.

    False when it is no longer queued at this epoch, or when this binary does not know its kind or its payload's version:
    then it cannot know what the job's request took. Raises LostClaim when the rows are not as the job left them.
    """
    verb = registry.verb_of(job.kind, job.version)
    if verb is None or not _end_queued(tx, job, error, now):
        return False
    transition = verb.transition
    if job.epoch == 0 and transition.allowed and transition.via is not None:
        transition = dataclasses.replace(transition, failed=End.PREVIOUS)
    job = dataclasses.replace(job, owner=None, lanes=lanes_of(tx, job.id, registry))
    publish(tx, job, transition, registry, Ending(ok=False, error=error, last=lambda tx: undo(tx, job, registry)), now)
    return True


def _end_queued(tx: Tx, job: JobRow, error: errors.Error, now: datetime.datetime) -> bool:
    queued = (jobs.c.id == job.id, jobs.c.state == "queued", jobs.c.epoch == job.epoch)
    ended = sa.update(jobs).where(*queued).values(state="failed", ended_at=now, error=_described(error))
    return tx.execute(ended).rowcount == 1


def drop(tx: Tx, job: JobRow, transition: Transition, registry: Registry, error: errors.Error, now: datetime.datetime) -> bool:
    """End a job that cannot end as it should, because its rows or the counters are not as it left them: nothing stays stuck.

    Its lanes are freed, and its resource leaves the transitional status if it is still in it; what the request took from
    pools and quotas stays taken, because nobody knows any more whether it is. False when the job is not (any more) the
    caller's, or not queued. Raises LostLease.
    """
    if job.owner is None:
        if not _end_queued(tx, job, error, now):
            return False
    else:
        hold_worker(tx, job.owner)
        try:
            own(tx, job, {"state": "failed", "ended_at": now, "error": _described(error)})
        except errors.LostClaim:
            return False
    free_lanes(tx, [job.id], registry)
    table = transition.table
    if transition.via is not None and transition.failed is not None:
        stuck = (table.c.id == job.resource_id, table.c.status == transition.via)
        tx.execute(sa.update(table).where(*stuck).values(_status(table, transition.failed)))
    ending = Ending(ok=False, error=error)
    _record_end(tx, job, transition, ending, now)
    _tell(tx, job, transition, error, now)
    tx.wake(job.queue)
    return True


def _record_end(tx: Tx, job: JobRow, transition: Transition, ending: Ending, now: datetime.datetime) -> None:
    end = transition.done if ending.ok else transition.failed
    events.record_end(
        tx,
        transition.table,
        gone=end is End.DELETED,
        at=now,
        resource_type=job.resource_type,
        resource_id=job.resource_id,
        project_id=job.project_id,
        action=f"{transition.name}.{ending.state}",
        from_status=transition.via,
        job_id=job.id,
        epoch=job.epoch,
        worker_id=job.owner,
        request_id=job.request_id,
        detail=None if ending.error is None else ending.error.message,
    )


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

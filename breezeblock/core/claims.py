"""Claiming: which ready jobs a live worker may take, and taking them with their lanes (protocol rules R3, R4, R10).

A claim is a compare-and-swap on the job's row and on the row of each resource whose lane it holds; SKIP LOCKED only
keeps workers out of each other's way. Lock order: worker, jobs, resources (rule R9).
"""

import dataclasses
import datetime
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from breezeblock.core.jobs import COLUMNS, JobRow, Lane, hold_worker, lane_order, leave_lane
from breezeblock.core.resource import Registry
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_update, now_ms
from breezeblock.store.tables.protocol import job_lanes, jobs

Turn = tuple[str, str]
"""A queue and a project that has jobs in it: what is served in turn."""
FIRST_TURN: Final[Turn] = ("", "")
SLACK_MS: Final = 10_000
"""A job's time is taken before its commit: so much later it may become visible."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now: its queues, the kinds it knows, and free slots per class."""

    queues: tuple[str, ...]
    kinds: tuple[tuple[str, int], ...]
    slots: Mapping[str, int]
    low_ms: int = 0
    """No job has waited in these queues for longer (see :func:`low_water`)."""
    after: Mapping[str, Turn] = dataclasses.field(default_factory=dict)
    """Per class, whose turn it was last."""


def low_water(tx: Tx, queues: tuple[str, ...]) -> int:
    """A time, by the database's clock in milliseconds, before which no job entered these queues that still waits (rule R10).

    Claims need not look below it, where an index may hold what has long been claimed. Every job that comes to a queue, new,
    handed on or given back, comes at the time of that.
    """
    found: Sequence[int | None] = tx.execute(_oldest(queues)).one()
    return max(0, min(at for at in found if at is not None) - SLACK_MS)


@functools.lru_cache(maxsize=64)
def _oldest(queues: tuple[str, ...]) -> sa.Executable:
    return sa.select(*(sa.select(sa.func.min(jobs.c.queued_ms)).where(*_queued(queue)).scalar_subquery() for queue in queues), now_ms())


def _queued(queue: Any) -> tuple[sa.ColumnElement[bool], ...]:
    return jobs.c.state == "queued", jobs.c.queue == queue


_MINE, _EARLIER = job_lanes.alias("mine"), job_lanes.alias("earlier")
_STANDS_BEFORE = sa.and_(
    _EARLIER.c.resource_id == _MINE.c.resource_id,
    _EARLIER.c.generation < _MINE.c.generation,
    sa.not_(sa.and_(_EARLIER.c.shared, _MINE.c.shared)),
)
"""Order within a lane is its generation; only readers pass each other (rule R3)."""


def _ready(kinds: Sequence[tuple[str, int]], low_ms: Any) -> list[sa.ColumnElement[bool]]:
    """Conditions of a job that a worker of these kinds may run now: known, not expired, first in all of its lanes."""
    blocked = sa.select(sa.literal(1)).select_from(_MINE.join(_EARLIER, _STANDS_BEFORE)).where(_MINE.c.job_id == jobs.c.id)
    return [
        jobs.c.state == "queued",
        jobs.c.queued_ms >= low_ms,
        sa.tuple_(jobs.c.kind, jobs.c.version).in_(kinds),
        sa.or_(jobs.c.expires_at_ms.is_(None), jobs.c.expires_at_ms > now_ms()),
        ~sa.exists(blocked),
    ]


def _busy_classes(tx: Tx, wanted: Wanted) -> list[str]:
    """The classes with free slots and queued jobs; one statement, which is all that an idle worker pays."""
    free = [name for name, slots in wanted.slots.items() if slots > 0]
    if not free:
        return []
    found = tx.execute(_first_projects(wanted.queues, tuple(free))).one()
    pairs = ((name, project) for name, project in zip([name for name in free for _ in wanted.queues], found, strict=True))
    return list(dict.fromkeys(name for name, project in pairs if project is not None))


@functools.lru_cache(maxsize=64)
def _first_projects(queues: tuple[str, ...], classes: tuple[str, ...]) -> sa.Executable:
    """One for each class and queue. A minimum, which is read off the index: an EXISTS may be answered by a walk through all that ended."""
    first = sa.func.min(jobs.c.project_id)
    return sa.select(
        *(sa.select(first).where(*_queued(queue), jobs.c["class"] == name).scalar_subquery() for name in classes for queue in queues)
    )


def turns(tx: Tx, wanted: Wanted, job_class: str) -> Iterator[Turn]:
    """Every queue and project with queued jobs of the class, once, from the one after ``wanted.after`` on.

    Found by hopping through the index as far as it is iterated, not by reading every job (rule R10).
    """
    last_queue, last_project = wanted.after.get(job_class, FIRST_TURN)
    place = wanted.queues.index(last_queue) if last_queue in wanted.queues else 0
    first, *others = wanted.queues[place:] + wanted.queues[:place]
    yield from _hop(tx, first, job_class, last_project, None)
    for queue in others:
        yield from _hop(tx, queue, job_class, "", None)
    if last_project:
        yield from _hop(tx, first, job_class, "", last_project)


def _hop(tx: Tx, queue: str, job_class: str, after: str, until: str | None) -> Iterator[Turn]:
    here = {"queue": queue, "class": job_class} | ({} if until is None else {"until": until})
    statement = _NEXT_PROJECT if until is None else _NEXT_PROJECT_UNTIL
    project = tx.execute(statement, {**here, "after": after}).scalar_one_or_none()
    while project is not None:
        yield queue, project
        project = tx.execute(statement, {**here, "after": project}).scalar_one_or_none()


_NEXT_PROJECT: Final = sa.select(sa.func.min(jobs.c.project_id)).where(
    jobs.c.state == "queued",
    jobs.c.queue == sa.bindparam("queue"),
    jobs.c["class"] == sa.bindparam("class"),
    jobs.c.project_id > sa.bindparam("after"),
)
_NEXT_PROJECT_UNTIL: Final = _NEXT_PROJECT.where(jobs.c.project_id <= sa.bindparam("until"))


def candidates(tx: Tx, wanted: Wanted, turn: Turn, job_class: str, limit: int, besides: Sequence[str] = ()) -> list[JobRow]:
    """The ready jobs of one class, queue and project that wait longest, locked where the database can. No suspects are among them."""
    queue, project_id = turn
    turn_of = {"queue": queue, "class": job_class, "project": project_id, "besides": besides, "low": wanted.low_ms, "most": limit}
    return [JobRow(*tuple(row)) for row in tx.execute(_candidates(wanted.kinds), turn_of)]


@functools.lru_cache(maxsize=64)
def _candidates(kinds: tuple[tuple[str, int], ...]) -> sa.Select[Any]:
    where = (
        *_ready(kinds, sa.bindparam("low")),
        jobs.c.queue == sa.bindparam("queue"),
        jobs.c["class"] == sa.bindparam("class"),
        jobs.c.project_id == sa.bindparam("project"),
        jobs.c.id.not_in(sa.bindparam("besides", expanding=True)),
        jobs.c.suspect.is_(sa.false()),
    )
    oldest = sa.select(*COLUMNS).where(*where).order_by(jobs.c.queued_ms, jobs.c.seq)
    return for_update(oldest.limit(sa.bindparam("most", type_=sa.Integer())), skip_locked=True)


def claim(tx: Tx, worker_id: str, wanted: Wanted, registry: Registry, now: datetime.datetime) -> list[JobRow]:
    """Claim ready jobs for ``worker_id``, no more than the free slots of each class, in turn over queues and projects.

    Raises LostLease when the worker is not live.
    """
    db_term = hold_worker(tx, worker_id)
    picked = [job for name in _busy_classes(tx, wanted) for job in _pick(tx, wanted, name, wanted.slots[name])]
    return take(tx, picked, worker_id, registry, now, db_term)


def _pick(tx: Tx, wanted: Wanted, job_class: str, slots: int) -> list[JobRow]:
    """At most ``slots`` jobs: one for each turn, and what is left for the first turns that have more."""
    found: dict[Turn, JobRow] = {}
    for turn in turns(tx, wanted, job_class):
        job = next(iter(candidates(tx, wanted, turn, job_class, 1)), None)
        if job is not None:
            found[turn] = job
        if len(found) == slots:
            return list(found.values())
    more: list[JobRow] = []
    for place, (turn, first) in enumerate(found.items()):
        left = slots - len(found) - len(more)
        share = -(-left // (len(found) - place))
        more += candidates(tx, wanted, turn, job_class, share, [first.id]) if share else []
    return more + list(found.values())


def take(tx: Tx, picked: Sequence[JobRow], worker_id: str, registry: Registry, now: datetime.datetime, db_term: int) -> list[JobRow]:
    """Claim these jobs and enter their lanes, by compare-and-swap; without those that another has, or whose lane is still held.

    The lanes are looked at again here: a locking read may show jobs that are newer than what its subqueries see.
    All lanes are entered in lock order, whatever the order of the jobs (rule R9).
    """
    lanes = _open_lanes(tx, [job.id for job in picked], registry)
    won = _win(tx, [job for job in picked if job.id in lanes], worker_id, now)
    entered: list[tuple[str, Lane]] = []
    lost: set[str] = set()
    held = ((job.id, lane) for job in won for lane in lanes[job.id] if not lane.shared)
    for job_id, lane in sorted(held, key=lambda each: lane_order(registry, each[1])):
        if job_id in lost:
            continue
        if _enter(tx, registry.table(lane.resource_type), lane.resource_id, job_id):
            entered.append((job_id, lane))
        else:
            lost.add(job_id)
    _back_out(tx, [job for job in won if job.id in lost], [each for each in entered if each[0] in lost], registry)
    return [
        dataclasses.replace(job, owner=worker_id, epoch=job.epoch + 1, lanes=lanes[job.id], db_term=db_term)
        for job in won
        if job.id not in lost
    ]


_OPEN_LANES: Final = sa.select(
    _MINE.c.job_id,
    sa.exists(sa.select(sa.literal(1)).select_from(_EARLIER).where(_STANDS_BEFORE).correlate(_MINE)).label("blocked"),
    _MINE.c.resource_type,
    _MINE.c.resource_id,
    _MINE.c.generation,
    _MINE.c.shared,
).where(_MINE.c.job_id.in_(sa.bindparam("jobs", expanding=True)))


def _open_lanes(tx: Tx, job_ids: Collection[str], registry: Registry) -> dict[str, tuple[Lane, ...]]:
    """The lanes, in lock order, of those jobs that stand first in all of theirs."""
    if not job_ids:
        return {}
    found: dict[str, list[Lane]] = {}
    waiting: set[str] = set()
    for row in tx.execute(_OPEN_LANES, {"jobs": sorted(job_ids)}):
        found.setdefault(row.job_id, []).append(Lane(row.resource_type, row.resource_id, row.generation, row.shared))
        if row.blocked:
            waiting.add(row.job_id)
    return {
        job_id: tuple(sorted(lanes, key=lambda lane: lane_order(registry, lane)))
        for job_id, lanes in found.items()
        if job_id not in waiting
    }


def _win(tx: Tx, picked: Sequence[JobRow], worker_id: str, now: datetime.datetime) -> list[JobRow]:
    """Claim the jobs' rows, which are still queued; all of them, unless the database cannot lock what it read."""
    if not picked:
        return []
    ids = sorted(job.id for job in picked)
    values = {"state": "claimed", "owner": worker_id, "epoch": jobs.c.epoch + 1, "claimed_at": now}
    count = tx.execute(sa.update(jobs).where(jobs.c.id.in_(ids), jobs.c.state == "queued").values(values)).rowcount
    if count == len(ids):
        return list(picked)
    mine = (jobs.c.id.in_(ids), jobs.c.state == "claimed", jobs.c.owner == worker_id)
    epochs = {row.id: row.epoch for row in tx.execute(sa.select(jobs.c.id, jobs.c.epoch).where(*mine))}
    return [job for job in picked if epochs.get(job.id) == job.epoch + 1]


def _enter(tx: Tx, table: sa.Table, resource_id: str, job_id: str) -> bool:
    return tx.execute(_entry_of(table), {"entered": resource_id, "by": job_id}).rowcount == 1


@functools.cache
def _entry_of(table: sa.Table) -> sa.Update:
    by = sa.bindparam("by", type_=table.c.running_job.type)
    free = sa.or_(table.c.running_job.is_(None), table.c.running_job == by)
    return sa.update(table).where(table.c.id == sa.bindparam("entered"), free).values(running_job=by)


def _back_out(tx: Tx, lost: Sequence[JobRow], entered: Sequence[tuple[str, Lane]], registry: Registry) -> None:
    """Give back what was claimed in vain, as if it had not been."""
    for job_id, lane in entered:
        leave_lane(tx, registry.table(lane.resource_type), lane, job_id, {})
    for job in lost:
        before = {"state": "queued", "owner": None, "epoch": job.epoch, "claimed_at": job.claimed_at}
        tx.execute(sa.update(jobs).where(jobs.c.id == job.id).values(before))


def adopt(tx: Tx, worker_id: str, known: Collection[str], registry: Registry) -> list[JobRow]:
    """Jobs that ``worker_id`` has claimed without knowing it, because a commit's outcome was unknown (rule R7).

    ``known`` are the ids of those that it does know of. They never ran, so they are no takeovers. Raises LostLease.
    """
    db_term = hold_worker(tx, worker_id)
    rows = tx.execute(sa.select(*COLUMNS).where(jobs.c.state == "claimed", jobs.c.owner == worker_id)).all()
    found = [job for job in (JobRow(*tuple(row)) for row in rows) if job.id not in known]
    lanes = _open_lanes(tx, [job.id for job in found], registry)
    return [dataclasses.replace(job, lanes=lanes[job.id], db_term=db_term, claimed_at=None) for job in found]


def claim_suspect(tx: Tx, worker_id: str, job_id: str, wanted: Wanted, registry: Registry, now: datetime.datetime) -> JobRow | None:
    """Claim one suspect job for a process that runs nothing else (rule R5). Raises LostLease."""
    db_term = hold_worker(tx, worker_id)
    statement = sa.select(*COLUMNS).where(
        *_ready(wanted.kinds, wanted.low_ms), jobs.c.queue.in_(wanted.queues), jobs.c.id == job_id, jobs.c.suspect
    )
    found = [JobRow(*tuple(row)) for row in tx.execute(for_update(statement, skip_locked=True))]
    return next(iter(take(tx, found, worker_id, registry, now, db_term)), None)


def suspects(tx: Tx, wanted: Wanted, job_class: str, besides: Collection[str], limit: int) -> list[str]:
    """Ids of ready jobs of one class whose last holder died uncleanly, the oldest first, without those of ``besides``."""
    of_class = (jobs.c.suspect, jobs.c["class"] == job_class, jobs.c.id.not_in(sorted(besides)))
    waiting = sa.select(jobs.c.id).where(*_ready(wanted.kinds, wanted.low_ms), jobs.c.queue.in_(wanted.queues), *of_class)
    return list(tx.execute(waiting.order_by(jobs.c.queued_ms, jobs.c.seq).limit(limit)).scalars())

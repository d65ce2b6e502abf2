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

from breezeblock.core.jobs import COLUMNS, UNFINISHED, JobRow, Lane, hold_worker, lane_order, leave_lane
from breezeblock.core.resource import Registry
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_update, now_ms
from breezeblock.store.tables.protocol import job_lanes, jobs

Turn = tuple[str, str]
"""A queue and a project that has jobs in it: what is served in turn."""
FIRST_TURN: Final[Turn] = ("", "")
SLACK: Final = 1000
"""Sequence numbers are given out before the commit: so many jobs may become visible after a younger one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now: its queues, the kinds it knows, and free slots per class."""

    queues: tuple[str, ...]
    kinds: tuple[tuple[str, int], ...]
    slots: Mapping[str, int]
    low_seq: int = 0
    """No unfinished job is older (see :func:`low_water`); 0 asks for a full scan."""
    after: Mapping[str, Turn] = dataclasses.field(default_factory=dict)
    """Per class, whose turn it was last."""


def low_water(tx: Tx) -> int:
    """A sequence number below which no unfinished job is or will be, in whatever queue (rule R10): claims need not look there.

    Jobs that are handed to another queue, or given back after a death, keep their old number; so running ones count.
    """
    oldest = [sa.select(sa.func.min(jobs.c.seq)).where(jobs.c.state == state).scalar_subquery() for state in UNFINISHED]
    newest = sa.select(sa.func.max(jobs.c.seq)).scalar_subquery()
    found = [seq for seq in tx.execute(sa.select(*oldest, newest)).one() if seq is not None]
    return max(0, min(found) - SLACK) if found else 0


_MINE, _EARLIER = job_lanes.alias("mine"), job_lanes.alias("earlier")
_STANDS_BEFORE = sa.and_(
    _EARLIER.c.resource_id == _MINE.c.resource_id,
    _EARLIER.c.generation < _MINE.c.generation,
    sa.not_(sa.and_(_EARLIER.c.shared, _MINE.c.shared)),
)
"""Order within a lane is its generation; only readers pass each other (rule R3)."""


def _ready(kinds: Sequence[tuple[str, int]], low_seq: Any) -> list[sa.ColumnElement[bool]]:
    """Conditions of a job that a worker of these kinds may run now: known, not expired, first in all of its lanes."""
    blocked = sa.select(sa.literal(1)).select_from(_MINE.join(_EARLIER, _STANDS_BEFORE)).where(_MINE.c.job_id == jobs.c.id)
    return [
        jobs.c.state == "queued",
        jobs.c.seq >= low_seq,
        sa.tuple_(jobs.c.kind, jobs.c.version).in_(kinds),
        sa.or_(jobs.c.expires_at_ms.is_(None), jobs.c.expires_at_ms > now_ms()),
        ~sa.exists(blocked),
    ]


def _busy_classes(tx: Tx, wanted: Wanted) -> list[str]:
    """The classes with free slots and queued jobs; one statement, which is all that an idle worker pays."""
    free = [name for name, slots in wanted.slots.items() if slots > 0]
    if not free:
        return []
    found = tx.execute(_any_queued(wanted.queues, tuple(free))).one()
    return [name for name, any_queued in zip(free, found, strict=True) if any_queued]


@functools.lru_cache(maxsize=64)
def _any_queued(queues: tuple[str, ...], classes: tuple[str, ...]) -> sa.Executable:
    queued = sa.select(sa.literal(1)).where(jobs.c.state == "queued", jobs.c.queue.in_(queues))
    return sa.select(*(sa.exists(queued.where(jobs.c["class"] == name)) for name in classes))


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


def candidates(tx: Tx, wanted: Wanted, turn: Turn, job_class: str, limit: int, above_seq: int = -1) -> list[JobRow]:
    """The oldest ready jobs of one class, queue and project, locked where the database can. Suspects are not among them."""
    queue, project_id = turn
    turn_of = {"queue": queue, "class": job_class, "project": project_id, "above": above_seq, "low": wanted.low_seq, "most": limit}
    return [JobRow(*tuple(row)) for row in tx.execute(_candidates(wanted.kinds), turn_of)]


@functools.lru_cache(maxsize=64)
def _candidates(kinds: tuple[tuple[str, int], ...]) -> sa.Select[Any]:
    where = (
        *_ready(kinds, sa.bindparam("low")),
        jobs.c.queue == sa.bindparam("queue"),
        jobs.c["class"] == sa.bindparam("class"),
        jobs.c.project_id == sa.bindparam("project"),
        jobs.c.seq > sa.bindparam("above"),
        jobs.c.suspect.is_(sa.false()),
    )
    statement = sa.select(*COLUMNS).where(*where).order_by(jobs.c.seq).limit(sa.bindparam("most", type_=sa.Integer()))
    return for_update(statement, skip_locked=True)


def claim(tx: Tx, worker_id: str, wanted: Wanted, registry: Registry, now: datetime.datetime) -> list[JobRow]:
    """Claim ready jobs for ``worker_id``, no more than the free slots of each class, in turn over queues and projects.

    Raises LostLease when the worker is not live.
    """
    db_term = hold_worker(tx, worker_id)
    picked = [job for name in _busy_classes(tx, wanted) for job in _pick(tx, wanted, name, wanted.slots[name])]
    return take(tx, picked, worker_id, registry, now, db_term)


def _pick(tx: Tx, wanted: Wanted, job_class: str, slots: int) -> list[JobRow]:
    """At most ``slots`` jobs: one for each turn, and what is left for the first turns that have more."""
    found: list[JobRow] = []
    newest: dict[Turn, int] = {}
    for turn in turns(tx, wanted, job_class):
        job = next(iter(candidates(tx, wanted, turn, job_class, 1)), None)
        if job is not None:
            found.append(job)
            newest[turn] = job.seq
        if len(found) == slots:
            return found
    more: list[JobRow] = []
    for place, (turn, seq) in enumerate(newest.items()):
        left = slots - len(found) - len(more)
        share = -(-left // (len(newest) - place))
        more += candidates(tx, wanted, turn, job_class, share, seq) if share else []
    return more + found


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

    ``known`` are the ids of those that it does know of. Raises LostLease.
    """
    db_term = hold_worker(tx, worker_id)
    rows = tx.execute(sa.select(*COLUMNS).where(jobs.c.state == "claimed", jobs.c.owner == worker_id)).all()
    found = [job for job in (JobRow(*tuple(row)) for row in rows) if job.id not in known]
    lanes = _open_lanes(tx, [job.id for job in found], registry)
    return [dataclasses.replace(job, lanes=lanes[job.id], db_term=db_term) for job in found]


def claim_suspect(tx: Tx, worker_id: str, job_id: str, wanted: Wanted, registry: Registry, now: datetime.datetime) -> JobRow | None:
    """Claim one suspect job for a process that runs nothing else (rule R5). Raises LostLease."""
    db_term = hold_worker(tx, worker_id)
    statement = sa.select(*COLUMNS).where(
        *_ready(wanted.kinds, wanted.low_seq), jobs.c.queue.in_(wanted.queues), jobs.c.id == job_id, jobs.c.suspect
    )
    found = [JobRow(*tuple(row)) for row in tx.execute(for_update(statement, skip_locked=True))]
    return next(iter(take(tx, found, worker_id, registry, now, db_term)), None)


def suspects(tx: Tx, wanted: Wanted, job_class: str, besides: Collection[str], limit: int) -> list[str]:
    """Ids of ready jobs of one class whose last holder died uncleanly, the oldest first, without those of ``besides``."""
    of_class = (jobs.c.suspect, jobs.c["class"] == job_class, jobs.c.id.not_in(sorted(besides)))
    return list(
        tx.execute(
            sa.select(jobs.c.id)
            .where(*_ready(wanted.kinds, wanted.low_seq), jobs.c.queue.in_(wanted.queues), *of_class)
            .order_by(jobs.c.seq)
            .limit(limit)
        ).scalars()
    )

"""Claiming: which ready jobs a live worker may take, and taking them with their lanes (protocol rules R3, R4, R10).

A claim is a compare-and-swap on the job's row and on the row of each resource whose lane it holds; SKIP LOCKED only
keeps workers out of each other's way. Lock order: worker, jobs, resources (rule R9).
"""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from breezeblock.core.jobs import COLUMNS, JobRow, Lane, hold_worker, lanes_of, leave_lane
from breezeblock.core.resource import Registry
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_update, now_ms
from breezeblock.store.tables.protocol import job_lanes, jobs


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take now: its queues, the kinds it knows, and free slots per class."""

    queues: tuple[str, ...]
    kinds: tuple[tuple[str, int], ...]
    slots: Mapping[str, int]
    low_seq: int = 0
    """No queued job of these queues is older (rule R10); 0 asks for a full scan."""


def _ready(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    """Conditions of a job that this worker may run now: known, not expired, first in all of its lanes."""
    mine, earlier = job_lanes.alias("mine"), job_lanes.alias("earlier")
    blocked = (
        sa.select(sa.literal(1))
        .select_from(
            mine.join(
                earlier,
                sa.and_(
                    earlier.c.resource_id == mine.c.resource_id,
                    earlier.c.generation < mine.c.generation,
                    sa.not_(sa.and_(earlier.c.shared, mine.c.shared)),
                ),
            )
        )
        .where(mine.c.job_id == jobs.c.id)
    )
    return [
        jobs.c.state == "queued",
        jobs.c.queue.in_(wanted.queues),
        jobs.c.seq >= wanted.low_seq,
        sa.tuple_(jobs.c.kind, jobs.c.version).in_(wanted.kinds),
        sa.or_(jobs.c.expires_at_ms.is_(None), jobs.c.expires_at_ms > now_ms()),
        ~sa.exists(blocked),
    ]


def waiting_projects(tx: Tx, wanted: Wanted) -> list[str]:
    """Projects with queued jobs in these queues, found by hopping through the index, not by reading every job (rule R10)."""
    found: list[str] = []
    for queue in wanted.queues:
        next_one = sa.select(sa.func.min(jobs.c.project_id)).where(jobs.c.state == "queued", jobs.c.queue == queue)
        project = tx.execute(next_one).scalar_one_or_none()
        while project is not None:
            found.append(project)
            project = tx.execute(next_one.where(jobs.c.project_id > project)).scalar_one_or_none()
    return list(dict.fromkeys(found))


def candidates(tx: Tx, wanted: Wanted, project_id: str, job_class: str, limit: int) -> list[JobRow]:
    """The oldest ready jobs of one class and project, locked where the database can. Suspects are not among them."""
    where = [*_ready(wanted), jobs.c["class"] == job_class, jobs.c.suspect.is_(sa.false()), jobs.c.project_id == project_id]
    statement = sa.select(*COLUMNS).where(*where).order_by(jobs.c.seq).limit(limit)
    return [JobRow(*tuple(row)) for row in tx.execute(for_update(statement, skip_locked=True))]


def claim(tx: Tx, worker_id: str, wanted: Wanted, registry: Registry, now: datetime.datetime, turn: int = 0) -> list[JobRow]:
    """Claim ready jobs for ``worker_id``, no more than the free slots of each class, round-robin over projects from ``turn`` on.

    Raises LostLease when the worker is not live.
    """
    db_term = hold_worker(tx, worker_id)
    projects = waiting_projects(tx, wanted)
    if not projects:
        return []
    first = turn % len(projects)
    order = projects[first:] + projects[:first]
    taken: list[JobRow] = []
    for job_class, slots in wanted.slots.items():
        if slots > 0:
            picked = _pick(tx, wanted, order, job_class, slots)
            taken += (job for job in (_take(tx, job, worker_id, registry, now, db_term) for job in picked) if job is not None)
    return taken


def _pick(tx: Tx, wanted: Wanted, projects: Sequence[str], job_class: str, slots: int) -> list[JobRow]:
    """At most ``slots`` jobs, dealt out one project after the other."""
    share = slots if len(projects) == 1 else -(-slots // len(projects))
    rounds: list[list[JobRow]] = []
    left = slots
    for project in projects:
        if left <= 0:
            break
        found = candidates(tx, wanted, project, job_class, min(share, left))
        left -= len(found)
        rounds.append(found)
    return [job for found in rounds for job in found]


def _take(tx: Tx, job: JobRow, worker_id: str, registry: Registry, now: datetime.datetime, db_term: int) -> JobRow | None:
    """Claim one job and its lanes by compare-and-swap; None when a lane is still held."""
    won = tx.execute(
        sa.update(jobs)
        .where(jobs.c.id == job.id, jobs.c.state == "queued")
        .values(state="claimed", owner=worker_id, epoch=jobs.c.epoch + 1, claimed_at=now)
    ).rowcount
    if won != 1:
        return None
    lanes = lanes_of(tx, job.id, registry)
    held: list[Lane] = []
    for lane in lanes:
        if lane.shared:
            continue
        if not _enter(tx, registry.table(lane.resource_type), lane.resource_id, job.id):
            for other in held:
                leave_lane(tx, registry.table(other.resource_type), other, job.id, {})
            tx.execute(sa.update(jobs).where(jobs.c.id == job.id).values(state="queued", owner=None))
            return None
        held.append(lane)
    return dataclasses.replace(job, owner=worker_id, epoch=job.epoch + 1, lanes=lanes, db_term=db_term)


def _enter(tx: Tx, table: sa.Table, resource_id: str, job_id: str) -> bool:
    free = sa.or_(table.c.running_job.is_(None), table.c.running_job == job_id)
    return tx.execute(sa.update(table).where(table.c.id == resource_id, free).values(running_job=job_id)).rowcount == 1


def claim_suspect(tx: Tx, worker_id: str, job_id: str, wanted: Wanted, registry: Registry, now: datetime.datetime) -> JobRow | None:
    """Claim one suspect job for a process that runs nothing else (rule R5). Raises LostLease."""
    db_term = hold_worker(tx, worker_id)
    statement = sa.select(*COLUMNS).where(*_ready(wanted), jobs.c.id == job_id, jobs.c.suspect)
    found = tx.execute(for_update(statement, skip_locked=True)).one_or_none()
    return None if found is None else _take(tx, JobRow(*tuple(found)), worker_id, registry, now, db_term)


def suspects(tx: Tx, wanted: Wanted, limit: int) -> list[JobRow]:
    """Ready jobs whose last holder died uncleanly."""
    statement = sa.select(*COLUMNS).where(*_ready(wanted), jobs.c.suspect).order_by(jobs.c.seq).limit(limit)
    return [JobRow(*tuple(row)) for row in tx.execute(statement)]

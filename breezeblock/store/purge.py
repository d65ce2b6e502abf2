"""Old jobs and events go, a little at a time (protocol rules R8 and R10). Never touches a job that is not finished.

At most :data:`BATCH` rows go in one transaction, and so many transactions in one pass, so that neither other
writers nor the caller's other duties wait long behind a purge. PostgreSQL keeps
events in one partition per month, and a month that is over is dropped as a whole; the default
partition takes what no month's partition is there for.
"""

import datetime
import functools
import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import events, jobs

BATCH = 500
"""Rows."""
PASS = 20
"""Batches."""
_FINISHED = ("done", "failed", "cancelled")
_LOCK = 0x6D6F6E7468
_NAME = re.compile(r"events_y(\d{4})m(\d{2})")
_PARTITIONS = sa.text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
    " WHERE inhparent = 'events'::regclass ORDER BY child.relname",
)


@dataclass(frozen=True, slots=True)
class Purged:
    """What went: single rows, and whole partitions."""

    rows: int
    partitions: tuple[str, ...] = ()


def purge_jobs(store: Store, before: datetime.datetime) -> Purged:
    """Delete the jobs that ended before ``before`` (naive UTC), the oldest first, a pass of them at most.

    Raises errors.DatabaseAway and DatabaseBusy.
    """
    old = sa.and_(jobs.c.ended_at < before, jobs.c.state.in_(_FINISHED))
    return Purged(_delete(store, "purge.jobs", jobs.c.seq, jobs.c.ended_at, old))


def purge_events(store: Store, before: datetime.datetime) -> Purged:
    """Delete the events from before ``before`` (naive UTC), a pass of them at most; on PostgreSQL the months that were over by then.

    Raises errors.DatabaseAway and DatabaseBusy.
    """
    if store.dialect != "postgresql":
        return Purged(_delete(store, "purge.events", events.c.id, events.c.at, events.c.at < before))
    names = store.read("purge.partitions", _partitions)
    over = tuple(name for name in names if (month := _month(name)) and _next(month) <= before.date())
    for name in over:
        store.run("purge.events", functools.partial(_drop, name))
    default = _columns("events_default")
    return Purged(_delete(store, "purge.events", default.c.id, default.c.at, default.c.at < before), over)


def prepare_partitions(store: Store, today: datetime.date, *, months: int = 2) -> list[str]:
    """Make the partitions of this month and the next ``months``, where they are missing; their names. Nothing but on PostgreSQL.

    A month of which the default partition holds more than a batch of rows already stays there. Safe to call at any time, by several.
    """
    if store.dialect != "postgresql":
        return []
    wanted = [today.replace(day=1)]
    while len(wanted) <= months:
        wanted.append(_next(wanted[-1]))
    there = store.read("purge.partitions", _partitions)
    missing = [month for month in wanted if _name(month) not in there]
    return [_name(month) for month in missing if store.run("purge.prepare", _Partition(month))]


@dataclass(frozen=True, slots=True)
class _Partition:
    """Makes one month's partition, unless it is there, with the rows of that month that the default one holds."""

    month: datetime.date

    def __call__(self, tx: Tx) -> bool:
        name, end = _name(self.month), _next(self.month)
        default, target = _columns("events_default"), _columns(name)
        within = sa.and_(default.c.at >= sa.cast(self.month, sa.DateTime()), default.c.at < sa.cast(end, sa.DateTime()))
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if tx.has_table(name):
            return False
        tx.execute(sa.text("LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE"))
        some = sa.select(default.c.id).where(within).limit(BATCH + 1).subquery("some")
        if tx.execute(sa.select(sa.func.count()).select_from(some)).scalar_one() > BATCH:
            return False
        tx.execute(sa.text(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)"))
        tx.execute(sa.insert(target).from_select(list(target.c.keys()), sa.select(default).where(within)))
        tx.execute(sa.delete(default).where(within))
        tx.execute(sa.text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ('{self.month}') TO ('{end}')"))
        return True


def _partitions(tx: Tx) -> list[str]:
    return list(tx.execute(_PARTITIONS).scalars())


def _drop(name: str, tx: Tx) -> None:
    tx.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))


def _columns(partition: str) -> sa.TableClause:
    return sa.table(partition, *(sa.column(column.name, column.type) for column in events.c))


def _delete(store: Store, name: str, key: sa.ColumnElement[int], age: sa.ColumnElement[Any], old: sa.ColumnElement[bool]) -> int:
    """Delete the old rows by age, which is indexed, a batch in each transaction."""
    oldest = sa.select(key).where(old).order_by(age).limit(BATCH)

    def work(tx: Tx) -> int:
        keys = list(tx.execute(oldest).scalars())
        return tx.execute(sa.delete(key.table).where(key.in_(keys), old)).rowcount if keys else 0

    total = 0
    for _ in range(PASS):
        deleted = store.run(name, work)
        total += deleted
        if deleted < BATCH:
            break
    return total


def _name(month: datetime.date) -> str:
    return f"events_y{month:%Y}m{month:%m}"


def _month(name: str) -> datetime.date | None:
    match = _NAME.fullmatch(name)
    return datetime.date(int(match[1]), int(match[2]), 1) if match else None


def _next(month: datetime.date) -> datetime.date:
    return (month.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)

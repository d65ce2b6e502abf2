"""Purges: small transactions, nothing unfinished, months on PostgreSQL."""

import datetime
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.store import purge, schema
from breezeblock.store.engine import Store
from breezeblock.store.purge import Purged, prepare_partitions, purge_events, purge_jobs
from breezeblock.store.tables.protocol import events, jobs

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive UTC, as stored


def job(state: str, ended_at: datetime.datetime | None) -> dict[str, Any]:
    row = {"kind": "volumes.create", "version": 1, "payload": {}, "queue": "q", "class": "normal", "resource_type": "volume"}
    identity = {"id": str(uuid.uuid4()), "resource_id": str(uuid.uuid4()), "project_id": "p", "user_id": "u"}
    return row | identity | {"state": state, "ended_at": ended_at, "created_at": START}


def event(at: datetime.datetime) -> dict[str, Any]:
    return {"at": at, "resource_type": "volume", "resource_id": str(uuid.uuid4()), "project_id": "p", "action": "create"}


def insert(store: Store, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    store.run("insert", lambda tx: tx.execute(sa.insert(table), rows))


def moments(store: Store, table: str = "events") -> list[datetime.datetime]:
    at = sa.column("at", sa.DateTime())
    return store.read("moments", lambda tx: list(tx.execute(sa.select(at).select_from(sa.text(table)).order_by(at)).scalars()))


def test_jobs_that_ended_long_ago_go(store: Store) -> None:
    ended = [job(state, START + day * DAY) for state in ("done", "failed", "cancelled") for day in (0, 1, 2)]
    unfinished = [job("queued", None), job("claimed", None), job("claimed", START)]
    insert(store, jobs, ended + unfinished)
    assert purge_jobs(store, START + DAY) == Purged(rows=3)
    left = store.read("left", lambda tx: set(tx.execute(sa.select(jobs.c.id)).scalars()))
    assert left == {row["id"] for row in ended + unfinished if row["state"] in ("queued", "claimed") or row["ended_at"] >= START + DAY}


def test_at_most_a_batch_in_each_transaction(database: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[str] = []
    watched = Store(database, name="purge", reach=points.append)
    monkeypatch.setattr(purge, "BATCH", 10)
    insert(store, jobs, [job("done", START) for _ in range(25)] + [job("done", START + 2 * DAY)])
    insert(store, events, [event(START) for _ in range(19)])
    assert purge_jobs(watched, START + DAY) == Purged(rows=25)
    assert points.count("purge.jobs.commit.before") == 3
    assert purge_events(watched, START + DAY).rows == 19
    assert points.count("purge.events.commit.before") == 2
    watched.dispose()


def test_a_pass_is_bounded_and_takes_the_oldest_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    monkeypatch.setattr(purge, "PASS", 3)
    insert(store, events, [event(START + day * DAY) for day in reversed(range(9))])
    assert purge_events(store, START + 8 * DAY).rows == 6
    assert moments(store) == [START + 6 * DAY, START + 7 * DAY, START + 8 * DAY]


@pytest.mark.parametrize("database", ["sqlite", "mysql"], indirect=True)
def test_old_events_go(store: Store) -> None:
    insert(store, events, [event(START + day * DAY) for day in range(4)])
    assert purge_events(store, START + 2 * DAY) == Purged(rows=2)
    assert moments(store) == [START + 2 * DAY, START + 3 * DAY]
    assert prepare_partitions(store, START.date()) == []


class TestMonths:
    @pytest.fixture
    def months(self, empty_database: str) -> Any:
        schema.migrate(empty_database)
        store = Store(empty_database, name="test")
        yield store
        store.dispose()

    pytestmark = pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)

    def test_they_are_made_once_and_used(self, months: Store) -> None:
        today = datetime.date(2026, 12, 31)
        assert prepare_partitions(months, today) == ["events_y2026m12", "events_y2027m01", "events_y2027m02"]
        assert prepare_partitions(months, today) == []
        assert prepare_partitions(months, datetime.date(2027, 1, 1)) == ["events_y2027m03"]
        inside, outside = datetime.datetime(2027, 1, 31, 23, 59), datetime.datetime(2025, 6, 1)  # noqa: DTZ001
        insert(months, events, [event(inside), event(outside)])
        assert moments(months) == [outside, inside]
        assert (moments(months, "events_y2027m01"), moments(months, "events_default")) == ([inside], [outside])

    def test_rows_that_came_before_their_month_was_made_move_into_it(self, months: Store) -> None:
        insert(months, events, [event(START), event(START - DAY)])
        assert prepare_partitions(months, START.date(), months=0) == ["events_y2026m01"]
        assert (moments(months, "events_y2026m01"), moments(months, "events_default")) == ([START], [START - DAY])

    def test_a_month_with_too_many_rows_to_move_stays(self, months: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(purge, "BATCH", 3)
        insert(months, events, [event(START) for _ in range(4)])
        assert prepare_partitions(months, START.date(), months=1) == ["events_y2026m02"]
        assert len(moments(months, "events_default")) == 4

    def test_months_that_are_over_are_dropped(self, months: Store) -> None:
        prepare_partitions(months, START.date())
        insert(months, events, [event(START + days * DAY) for days in (0, 30, 31, 40)] + [event(START - DAY)])
        assert purge_events(months, START + 45 * DAY) == Purged(rows=1, partitions=("events_y2026m01",))
        assert moments(months) == [START + 31 * DAY, START + 40 * DAY]
        assert purge_events(months, START + 45 * DAY) == Purged(rows=0)

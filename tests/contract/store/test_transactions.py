"""What a transaction promises those who work in it."""

import functools
import logging
import threading
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Limits, Store, Tx
from breezeblock.store.sql import database_node, for_key_share, for_update, now_ms
from tests.contract.store.conftest import NOW, Insert, volume_row
from tests.support.interleave import Step, interleaved
from tests.support.proxy import Proxy
from tests.support.servers import shared_server

SERVERS = pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)


class Crash(BaseException):
    """What a test raises at a fault point."""


def count(store: Store) -> int:
    return store.read("count", lambda tx: int(tx.execute(sa.select(sa.func.count()).select_from(volumes)).scalar_one()))


def insert(tx: Tx) -> None:
    tx.execute(sa.insert(volumes), volume_row())


def reaching(database: str, points: list[str], crash_at: str = "") -> Store:
    def reach(point: str) -> None:
        points.append(point)
        if point == crash_at:
            raise Crash

    return Store(database, name="test", reach=reach)


def test_the_value_is_what_work_returned(store: Store) -> None:
    assert store.run("work", lambda _tx: {"a": 1}) == {"a": 1}


def test_an_error_in_work_rolls_back(store: Store) -> None:
    def work(tx: Tx) -> None:
        insert(tx)
        raise errors.Conflict(verb="Extending", kind="volume", id="x", reasons="it is gone")

    with pytest.raises(errors.Conflict):
        store.run("work", work)
    assert count(store) == 0


def test_an_error_does_not_tell_the_values(store: Store) -> None:
    """It ends in a log, and values may be secrets."""
    with pytest.raises(sa.exc.DBAPIError) as error:
        store.run("work", lambda tx: tx.execute(sa.text("INSERT INTO no_such_table VALUES (:value)"), {"value": "s3cret"}))
    assert "no_such_table" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_duplicate_is_the_callers_and_rolls_back(store: Store) -> None:
    row = volume_row()

    def work(tx: Tx) -> None:
        insert(tx)
        for _ in range(2):
            tx.execute(sa.insert(volumes), row)

    with pytest.raises(sa.exc.IntegrityError):
        store.run("work", work)
    assert count(store) == 0


def test_an_error_that_work_swallowed_is_not_committed(store: Store) -> None:
    row = volume_row()

    def work(tx: Tx) -> None:
        tx.execute(sa.insert(volumes), row)
        with pytest.raises(sa.exc.IntegrityError):
            tx.execute(sa.insert(volumes), row)

    with pytest.raises(sa.exc.IntegrityError):
        store.run("work", work)
    assert count(store) == 0


def test_an_error_that_work_translated_reaches_the_caller(store: Store) -> None:
    row = volume_row()

    def work(tx: Tx) -> None:
        try:
            for _ in range(2):
                tx.execute(sa.insert(volumes), row)
        except sa.exc.IntegrityError:
            raise errors.Invalid(reason="there is one already") from None

    with pytest.raises(errors.Invalid):
        store.run("work", work)
    assert count(store) == 0


def test_others_see_nothing_before_the_commit(database: str, store: Store) -> None:
    other = Store(database, name="other")
    seen = []

    def work(tx: Tx) -> None:
        insert(tx)
        seen.append(count(other))

    store.run("work", work)
    assert [*seen, count(other)] == [0, 1]
    other.dispose()


def test_a_read_refuses_to_write(store: Store) -> None:
    with pytest.raises(RuntimeError, match="asked to write"):
        store.read("work", insert)
    assert count(store) == 0


class TestAfterCommit:
    def test_in_order_and_when_the_commit_is_visible(self, database: str, store: Store) -> None:
        other = Store(database, name="other")
        seen: list[Any] = []

        def work(tx: Tx) -> None:
            tx.after_commit(lambda: seen.append(("first", count(other))))
            insert(tx)
            tx.after_commit(lambda: seen.append(("second", count(other))))
            assert seen == []

        store.run("work", work)
        assert seen == [("first", 1), ("second", 1)]
        other.dispose()

    def test_never_after_a_rollback(self, store: Store) -> None:
        seen = []

        def work(tx: Tx) -> None:
            tx.after_commit(lambda: seen.append(1))
            raise KeyError

        with pytest.raises(KeyError):
            store.run("work", work)
        assert seen == []

    def test_its_error_is_logged_and_the_others_happen(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        seen = []

        def fail() -> None:
            raise OSError("the hint could not be sent")

        def work(tx: Tx) -> int:
            tx.after_commit(fail)
            tx.after_commit(lambda: seen.append(1))
            return 7

        with caplog.at_level(logging.ERROR):
            assert store.run("work", work) == 7
        assert seen == [1]
        assert "the hint could not be sent" in caplog.text


class TestFaultPoints:
    def test_they_stand_around_the_commit(self, database: str, store: Store) -> None:
        points: list[str] = []
        hooked = reaching(database, points)
        hooked.run("volumes.extend.request", insert)
        hooked.read("volumes.show", lambda tx: tx.execute(sa.select(volumes.c.id)).all())
        assert points == ["volumes.extend.request.commit.before", "volumes.extend.request.commit.after"]
        hooked.dispose()

    @pytest.mark.parametrize(("point", "rows"), [("work.commit.before", 0), ("work.commit.after", 1)])
    def test_a_crash_there(self, database: str, store: Store, point: str, rows: int) -> None:
        hints: list[int] = []
        hooked = reaching(database, [], crash_at=point)

        def work(tx: Tx) -> None:
            insert(tx)
            tx.after_commit(lambda: hints.append(1))

        with pytest.raises(Crash):
            hooked.run("work", work)
        assert (count(store), hints) == (rows, [])
        hooked.run("go on", insert)
        assert count(store) == rows + 1
        hooked.dispose()


def test_values_come_back_as_they_went_in(store: Store, new_volume: Insert) -> None:
    document: dict[str, Any] = {"text": 'ä \U0001f9f1 "quoted"', "list": [1, None, True, 2.5], "empty": {}, "null": None}
    volume_id = new_volume(metadata=document, handle=None, readonly=None, bootable=True, updated_at=NOW, name="ä \U0001f9f1 ")
    names = ("metadata", "handle", "readonly", "bootable", "created_at", "updated_at", "name")
    query = sa.select(*(volumes.c[name] for name in names)).where(volumes.c.id == volume_id)
    assert tuple(store.read("show", lambda tx: tx.execute(query).one())) == (document, None, None, True, NOW, NOW, "ä \U0001f9f1 ")


def test_the_databases_clock_counts_milliseconds(store: Store) -> None:
    import time

    before = time.time() * 1000
    now = store.read("clock", lambda tx: tx.execute(sa.select(now_ms())).scalar_one())
    assert before - 50 <= now <= time.time() * 1000 + 50
    query = sa.select(volumes.c.id).where(now_ms() + 1000 > now)
    assert store.read("clock", lambda tx: tx.execute(query).all()) == []


def test_the_database_node_is_the_same_in_every_session(database: str, store: Store) -> None:
    other = Store(database, name="other")
    nodes = [one.read("node", lambda tx: tx.execute(sa.select(database_node())).scalar_one()) for one in (store, other)]
    assert nodes[0] == nodes[1] != ""
    if store.dialect != "sqlite":
        assert nodes[0].endswith(f":{store.url.port}")
    other.dispose()


@SERVERS
def test_rows_that_are_held(database: str, store: Store, new_volume: Insert) -> None:
    held, free = sorted((new_volume(), new_volume()))
    rows = sa.select(volumes.c.id).order_by(volumes.c.id)

    def ids(tx: Tx, query: sa.Select[Any]) -> list[str]:
        return [row.id for row in tx.execute(query)]

    with interleaved(database) as (first, second):
        first.start(lambda tx: (ids(tx, for_key_share(rows.where(volumes.c.id == held))), ids(tx, rows)))
        assert first.step() is Step.DONE
        assert store.run("share", lambda tx: ids(tx, for_key_share(rows))) == [held, free]
        assert store.run("skip", lambda tx: ids(tx, for_update(rows, skip_locked=True))) == [free]
        second.start(lambda tx: ids(tx, for_update(rows)))
        assert second.step() is Step.WAITS
        first.finish()
        assert second.finish() == [held, free]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_locks_on_rows_mean_nothing_on_sqlite(store: Store, new_volume: Insert) -> None:
    volume_id = new_volume()

    def one(query: sa.Select[Any], tx: Tx) -> Any:
        return tx.execute(query).scalar_one()

    query = sa.select(volumes.c.id)
    for locked in (for_key_share(query), for_update(query), for_update(query, skip_locked=True)):
        assert store.run("lock", functools.partial(one, locked)) == volume_id


@SERVERS
def test_round_trips(database: str, store: Store, new_volume: Insert) -> None:
    """A read of one statement costs one; a write costs BEGIN and COMMIT besides its statements."""
    volume_id = new_volume()
    with Proxy(shared_server(sa.make_url(database).get_backend_name()).port) as proxy:
        counted = Store(proxy.url(database), name="counted")
        query = sa.select(volumes).where(volumes.c.id == volume_id)
        change = sa.update(volumes).where(volumes.c.id == volume_id).values(size_gib=volumes.c.size_gib + 1)

        def read() -> None:
            counted.read("read", lambda tx: tx.execute(query).one())

        def write() -> None:
            counted.run("write", lambda tx: tx.execute(change))

        costs = []
        for action in (read, write):
            for _ in range(5):
                action()
            before = proxy.round_trips
            action()
            costs.append(proxy.round_trips - before)
        counted.dispose()
    assert costs == [1, 3]


def test_a_busy_pool_is_an_answer(database: str) -> None:
    store = Store(database, name="small", limits=Limits(pool_size=1, pool_overflow=0, pool_wait=0.2))
    entered, leave = threading.Event(), threading.Event()

    def hold(_tx: Tx) -> None:
        entered.set()
        leave.wait(10)

    thread = threading.Thread(target=store.read, args=("hold", hold))
    thread.start()
    assert entered.wait(10)
    with pytest.raises(errors.DatabaseBusy):
        store.read("more", hold)
    leave.set()
    thread.join(10)
    store.dispose()


@pytest.mark.parametrize("url", ["oracle://x/y", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(errors.BadConfiguration):
        Store(url, name="test")


def test_many_threads_count_exactly(store: Store, new_volume: Insert) -> None:
    volume_id = new_volume(size_gib=0)
    failures = []

    def work(tx: Tx) -> None:
        size = tx.execute(for_update(sa.select(volumes.c.size_gib).where(volumes.c.id == volume_id))).scalar_one()
        tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(size_gib=size + 1))
        tx.execute(sa.insert(volumes), volume_row(name=str(uuid.uuid4())))

    def many() -> None:
        try:
            for _ in range(10):
                store.run("count", work)
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=many) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    query = sa.select(volumes.c.size_gib).where(volumes.c.id == volume_id)
    assert (store.read("size", lambda tx: tx.execute(query).scalar_one()), count(store)) == (60, 61)

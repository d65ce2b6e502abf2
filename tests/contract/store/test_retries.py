"""Protocol rule R7: whole transactions, tried again in one place, with exactly one effect whatever the network does."""

import functools
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Limits, Store, Tx
from tests.contract.store.conftest import Insert, volume_row
from tests.support.interleave import Step, interleaved
from tests.support.proxy import Proxy
from tests.support.servers import own_server, shared_server

SERVERS = pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
IMPATIENT = Limits(statement=0.6, answer=0.4, lock=1, away=0.5, contended=1)


class Charge:
    """What a request does: it inserts a row whose id was made beforehand, and raises a counter."""

    def __init__(self, counter: str, *, inserts: bool = True) -> None:
        self.counter = counter
        self.id = str(uuid.uuid4())
        self.inserts = inserts
        self.attempts: list[bool] = []
        self.hints = 0

    def __call__(self, tx: Tx) -> str:
        self.attempts.append(tx.rerun)
        add_one(tx, self.counter)
        if self.inserts:
            tx.execute(sa.insert(volumes), volume_row(id=self.id))
        tx.after_commit(self.hint)
        return f"attempt {len(self.attempts)}"

    def hint(self) -> None:
        self.hints += 1


def add_one(tx: Tx, volume_id: str) -> None:
    tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(size_gib=volumes.c.size_gib + 1))


def size(store: Store, volume_id: str) -> int | None:
    query = sa.select(volumes.c.size_gib).where(volumes.c.id == volume_id)
    return store.read("size", lambda tx: tx.execute(query).scalar_one_or_none())


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    with Proxy(shared_server(sa.make_url(database).get_backend_name()).port) as proxy:
        yield proxy


@pytest.fixture
def proxied(database: str, proxy: Proxy) -> Iterator[Store]:
    """A store whose connection can be broken at will, already connected."""
    store = Store(proxy.url(database), name="proxied")
    size(store, "nothing")
    yield store
    store.dispose()


@SERVERS
@pytest.mark.parametrize("swallow", [True, False])
def test_a_lock_wait_timeout_rolls_all_of_it_back(database: str, store: Store, new_volume: Insert, swallow: bool) -> None:
    """MariaDB's 1205 undoes its own statement only: what came before it would be committed."""
    locked, touched = new_volume(), new_volume()
    impatient = Store(database, name="impatient", limits=Limits(lock=1, contended=0.5))

    def work(tx: Tx) -> None:
        add_one(tx, touched)
        try:
            add_one(tx, locked)
        except sa.exc.DBAPIError:
            if not swallow:
                raise

    def hold(tx: Tx) -> None:
        add_one(tx, locked)
        add_one(tx, locked)

    with interleaved(database, 1) as (holder,):
        holder.start(hold)
        assert holder.step() is Step.DONE
        with pytest.raises(errors.DatabaseBusy):
            impatient.run("work", work)
        assert size(store, touched) == 1
        holder.finish()
    impatient.dispose()
    assert size(store, locked) == 3


@SERVERS
def test_a_deadlock_is_tried_again(database: str, store: Store, new_volume: Insert) -> None:
    a, b = new_volume(), new_volume()
    calls = []

    def work(tx: Tx, *order: str) -> None:
        calls.append(order)
        for volume_id in order:
            add_one(tx, volume_id)

    with interleaved(database) as (first, second):
        first.start(lambda tx: work(tx, a, b))
        second.start(lambda tx: work(tx, b, a))
        assert first.step() is Step.DONE
        assert second.step() is Step.DONE
        assert first.step() is Step.WAITS
        second.step()
        for one in (first, second):
            one.free()
        for one in (first, second):
            one.finish()
    assert len(calls) == 3
    assert (size(store, a), size(store, b)) == (3, 3)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_commit_that_the_database_refuses_is_tried_again(database: str, store: Store, new_volume: Insert) -> None:
    """As under SERIALIZABLE here, or where a cluster certifies at the commit: it is known not to have happened."""
    a, b = new_volume(), new_volume()
    calls = []

    def copy(tx: Tx, source: str, target: str) -> None:
        calls.append(source)
        tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        found = tx.execute(sa.select(volumes.c.size_gib).where(volumes.c.id == source)).scalar_one()
        tx.execute(sa.update(volumes).where(volumes.c.id == target).values(size_gib=found + 1))

    with interleaved(database) as (first, second):
        for one, source, target in ((first, a, b), (second, b, a)):
            one.start(functools.partial(copy, source=source, target=target))
        for one in (first, second):
            assert [one.step(), one.step()] == [Step.DONE, Step.DONE]
        first.finish()
        second.finish()
    assert calls == [a, b, b]
    assert (size(store, b), size(store, a)) == (2, 3)


def test_an_interrupt_during_the_commit_leaves_a_usable_store(store: Store, new_volume: Insert, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = new_volume()

    def interrupted(raw: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store._database, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.run("work", lambda tx: add_one(tx, counter))
    assert size(store, counter) == 1
    store.run("work", lambda tx: add_one(tx, counter))
    assert size(store, counter) == 2


@SERVERS
@pytest.mark.parametrize("swallow", [True, False])
def test_a_connection_lost_in_the_middle(store: Store, proxied: Store, proxy: Proxy, new_volume: Insert, swallow: bool) -> None:
    counter, marker = new_volume(), "marker-of-the-second-statement"
    calls = []

    def work(tx: Tx) -> int:
        calls.append(1)
        add_one(tx, counter)
        try:
            tx.execute(sa.update(volumes).where(volumes.c.id == counter).values(name=marker))
        except sa.exc.DBAPIError:
            if not swallow:
                raise
        return len(calls)

    proxy.cut_before(marker.encode())
    assert proxied.run("work", work) == 2
    assert (proxy.cuts, size(store, counter)) == (1, 2)


@SERVERS
def test_a_connection_that_broke_while_idle_is_no_error(
    store: Store, database: str, proxied: Store, proxy: Proxy, new_volume: Insert
) -> None:
    counter = new_volume()
    for _ in range(2):
        proxy.break_all()
        proxied.run("work", lambda tx: add_one(tx, counter))
        proxy.break_all()
        size(proxied, counter)
    assert size(store, counter) == 3


@SERVERS
def test_a_restarted_server_costs_one_attempt(
    store: Store, proxied: Store, proxy: Proxy, new_volume: Insert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many connections the pool holds: the first broken one tells that the others are broken too."""
    counter, together, begun = new_volume(), threading.Barrier(5), []
    begin = proxied._database.begin

    def counted(raw: Any) -> None:
        begun.append(1)
        begin(raw)

    def meet(tx: Tx) -> None:
        tx.execute(sa.select(sa.literal(1))).all()
        together.wait(10)

    def five_at_once() -> None:
        threads = [threading.Thread(target=proxied.run, args=("meet", meet)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    five_at_once()
    proxy.break_all()
    monkeypatch.setattr(proxied._database, "begin", counted)
    proxied.run("work", lambda tx: add_one(tx, counter))
    assert len(begun) == 2
    five_at_once()
    assert len(begun) == 7
    assert (proxy.accepted, size(store, counter)) == (10, 2)


@SERVERS
class TestCommitOutcomeUnknown:
    def test_it_had_committed(self, store: Store, proxied: Store, proxy: Proxy, new_volume: Insert) -> None:
        work = Charge(new_volume())
        proxy.cut_after(b"COMMIT")
        assert proxied.run("work", work) == "attempt 1"
        assert (proxy.cuts, work.attempts, work.hints) == (1, [False], 1)
        assert (size(store, work.counter), size(store, work.id)) == (2, 1)

    def test_it_had_not(self, store: Store, proxied: Store, proxy: Proxy, new_volume: Insert) -> None:
        work = Charge(new_volume())
        proxy.cut_before(b"COMMIT")
        assert proxied.run("work", work) == "attempt 2"
        assert (proxy.cuts, work.attempts, work.hints) == (1, [False, False], 1)
        assert (size(store, work.counter), size(store, work.id)) == (2, 1)

    def test_twice(self, store: Store, proxied: Store, proxy: Proxy, new_volume: Insert) -> None:
        work = Charge(new_volume())
        proxy.cut_before(b"COMMIT")
        proxy.cut_after(b"COMMIT")
        with_cuts = proxied.run("work", work)
        assert (with_cuts, proxy.cuts, len(work.attempts)) in (("attempt 2", 2, 2), ("attempt 1", 2, 1))
        assert (size(store, work.counter), work.hints) == (2, 1)

    def test_the_commit_arrives_late(self, store: Store, proxied: Store, proxy: Proxy, new_volume: Insert) -> None:
        """The old session is still open, and its COMMIT on the way, when the client has long given it up."""
        work = Charge(new_volume())
        proxy.hold(b"COMMIT")
        release = threading.Timer(0.6, proxy.release)
        release.start()
        assert proxied.run("work", work) == "attempt 1"
        assert (proxy.cuts, len(work.attempts)) == (1, 1)
        assert (size(store, work.counter), size(store, work.id)) == (2, 1)
        release.join()

    def test_work_without_a_row_of_its_own_is_told(self, store: Store, proxied: Store, proxy: Proxy, new_volume: Insert) -> None:
        work = Charge(new_volume(), inserts=False)
        proxy.cut_before(b"COMMIT")
        proxied.run("work", work)
        assert work.attempts == [False, True]

    def test_nobody_can_tell(self, database: str, store: Store, proxy: Proxy, new_volume: Insert) -> None:
        work = Charge(new_volume())
        impatient = Store(proxy.url(database), name="impatient", limits=IMPATIENT)
        size(impatient, "nothing")

        def commit_and_go_away(point: str) -> None:
            proxy.refuse = True

        impatient._reach = commit_and_go_away
        proxy.cut_after(b"COMMIT")
        with pytest.raises(errors.OutcomeUnknown):
            impatient.run("work", work)
        assert (size(store, work.counter), work.hints) == (2, 0)
        impatient.dispose()


@SERVERS
@pytest.mark.parametrize("verb", ["read", "run"])
def test_a_server_that_hangs_is_away(database: str, proxy: Proxy, verb: str) -> None:
    """Its sockets are open and it says nothing: a stopped machine, or a network that swallows."""
    store = Store(proxy.url(database), name="impatient", limits=IMPATIENT)
    query = sa.select(volumes.c.id)
    store.read("first", lambda tx: tx.execute(query).all())
    proxy.stall = True
    started = time.monotonic()
    with pytest.raises(errors.DatabaseAway):
        getattr(store, verb)("work", lambda tx: tx.execute(query).all())
    assert time.monotonic() - started < 6
    proxy.stall = False
    assert store.read("again", lambda tx: tx.execute(query).all()) == []
    store.dispose()


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_killed_server_is_away_and_comes_back(kind: str) -> None:
    with own_server(kind) as server:
        store = Store(server.url({"postgresql": "postgres", "mysql": "mysql"}[kind]), name="test", limits=Limits(away=0.5))
        one = sa.select(sa.literal(1))

        def ask(tx: Tx) -> Any:
            return tx.execute(one).scalar_one()

        assert store.run("ask", ask) == 1
        server.kill()
        for verb in (store.run, store.read):
            started = time.monotonic()
            with pytest.raises(errors.DatabaseAway):
                verb("ask", ask)
            assert time.monotonic() - started < 2
        server.start()
        assert store.read("ask", ask) == store.run("ask", ask) == 1
        store.dispose()


@SERVERS
def test_a_statement_that_is_too_long_is_ended(database: str) -> None:
    store = Store(database, name="slow", limits=Limits(statement=0.3))
    sleep = sa.select(sa.func.pg_sleep(5) if store.dialect == "postgresql" else sa.func.sleep(5))
    started = time.monotonic()
    with pytest.raises(errors.DatabaseBusy):
        store.read("sleep", lambda tx: tx.execute(sleep).all())
    assert time.monotonic() - started < 2
    store.dispose()


@SERVERS
def test_an_idle_transaction_is_ended(database: str, store: Store, new_volume: Insert) -> None:
    """A process that is stopped inside a transaction gives its row locks back."""
    volume_id = new_volume()
    sleepy = Store(database, name="sleepy", limits=Limits(idle_in_transaction=1))
    calls = []
    taken = threading.Event()
    go_on = threading.Event()

    def work(tx: Tx) -> None:
        calls.append(1)
        add_one(tx, volume_id)
        taken.set()
        if len(calls) == 1:
            assert go_on.wait(10)

    thread = threading.Thread(target=sleepy.run, args=("sleep", work))
    thread.start()
    assert taken.wait(10)
    store.run("other", lambda tx: add_one(tx, volume_id))
    go_on.set()
    thread.join(10)
    assert (len(calls), size(store, volume_id)) == (2, 3)
    sleepy.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_sqlite_directory_that_is_gone_is_away(database: str) -> None:
    store = Store("sqlite:////nonexistent-directory/breezeblock.db", name="test", limits=Limits(away=0.2))
    for verb in (store.run, store.read):
        with pytest.raises(errors.DatabaseAway):
            verb("ask", lambda tx: tx.execute(sa.select(sa.literal(1))).scalar_one())

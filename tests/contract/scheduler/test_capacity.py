"""Reservations on every database: the guard in SQL is the pure function, and nobody overruns it."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock import errors
from breezeblock.resources.pools import rules as pools_rules
from breezeblock.scheduler import capacity
from breezeblock.scheduler.model import Pool
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import pools

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - naive UTC, as stored
POOL, QUEUE = "h@b#p", "volume:h@b"
REPORT = capacity.Report(
    POOL, "b", "p", 100.0, 100.0, 0.0, thin=True, reserved_percentage=0, max_over_subscription_ratio=2.0, capabilities={"a": 1}
)


def report(store: Store, *reports: capacity.Report, now: datetime = NOW) -> None:
    store.run("report", lambda tx: capacity.report(tx, QUEUE, reports, now))


def known(store: Store) -> dict[str, Pool]:
    return {pool.id: pool for pool in store.read("known", pools_rules.known)}


def reserve(store: Store, size: int, pool_id: str = POOL) -> bool:
    return store.run("reserve", lambda tx: capacity.reserve(tx, pool_id, size))


GIB = st.one_of(st.integers(0, 200).map(float), st.floats(0, 1e7, allow_nan=False), st.sampled_from([0.1, 1 / 3, 1e-9, 99.99999999999999]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    total=GIB,
    free=GIB,
    provisioned=st.one_of(st.integers(0, 300), st.integers(0, 2**40)),
    size=st.one_of(st.integers(1, 200), st.integers(1, 2**31 - 1)),
    thin=st.booleans(),
    reserved=st.integers(0, 100),
    ratio=st.one_of(st.sampled_from([1.0, 1.5, 20.0]), st.floats(1, 100, allow_nan=False)),
)
def test_the_guard_in_sql_is_the_pure_function(
    store: Store, total: float, free: float, provisioned: int, size: int, thin: bool, reserved: int, ratio: float
) -> None:
    row = replace(REPORT, total_gib=total, free_gib=free, thin=thin, reserved_percentage=reserved, max_over_subscription_ratio=ratio)

    def both(tx: Tx) -> tuple[bool, bool]:
        capacity.report(tx, QUEUE, [row], NOW)
        tx.execute(sa.update(pools).values(provisioned_gib=provisioned))
        pool = next(iter(pools_rules.known(tx)))
        return capacity.fits(pool, size), capacity.reserve(tx, POOL, size)

    pure, guarded = store.run("both", both)
    assert pure is guarded
    assert known(store)[POOL].provisioned_gib == provisioned + (size if guarded else 0)


def test_concurrent_reservations_take_exactly_what_there_is(store: Store) -> None:
    report(store, REPORT)
    barrier, taken = threading.Barrier(8), Counter[bool]()

    def work(_: int) -> None:
        barrier.wait(20)
        for _ in range(6):
            taken[reserve(store, 5)] += 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8), timeout=60))
    assert taken == {True: 40, False: 8}
    assert known(store)[POOL].provisioned_gib == 200


def test_grow_and_release(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    report(store, REPORT)
    assert reserve(store, 150)
    assert not store.run("grow", lambda tx: capacity.grow(tx, POOL, 150, 201))
    assert store.run("grow", lambda tx: capacity.grow(tx, POOL, 150, 200))
    store.run("release", lambda tx: capacity.release(tx, POOL, 190))
    assert known(store)[POOL].provisioned_gib == 10
    with pytest.raises(errors.CounterBroken, match="pool h@b#p"):
        store.run("release", lambda tx: capacity.release(tx, POOL, 11))
    assert known(store)[POOL].provisioned_gib == 10
    assert any(record.levelname == "CRITICAL" for record in caplog.records)
    assert not reserve(store, 1, "h@b#other")


def test_a_report_changes_everything_but_the_promises(store: Store) -> None:
    report(store, REPORT)
    assert reserve(store, 50)
    report(store, replace(REPORT, total_gib=300.0, free_gib=250.5, capabilities={"a": 2}), now=NOW + timedelta(seconds=10))
    pool = known(store)[POOL]
    assert (pool.total_gib, pool.free_gib, pool.provisioned_gib, pool.capabilities) == (300.0, 250.5, 50, {"a": 2})
    assert pool.reported_at == "2026-01-01T00:00:10"


def test_a_pool_that_is_gone_is_forgotten_unless_it_holds_volumes(store: Store) -> None:
    other = replace(REPORT, id="h@b#q", name="q")
    report(store, REPORT, other)
    assert reserve(store, 5)
    report(store)
    left = known(store)
    assert list(left) == [POOL]
    assert (left[POOL].total_gib, left[POOL].provisioned_gib) == (0, 5)
    assert not reserve(store, 1)
    store.run("release", lambda tx: capacity.release(tx, POOL, 5))
    report(store)
    assert known(store) == {}


def test_two_members_of_a_cluster_report_the_same_pools_at_once(store: Store) -> None:
    barrier = threading.Barrier(6)
    names = [replace(REPORT, id=f"h@b#{name}", name=name) for name in "abc"]

    def work(number: int) -> None:
        barrier.wait(20)
        report(store, *(names if number % 2 else reversed(names)))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6), timeout=60))
    assert len(known(store)) == 3

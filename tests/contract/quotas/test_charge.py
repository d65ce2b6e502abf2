"""Charging quotas on every database: exact under contention, all or nothing, and never a deadlock."""

import contextlib
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import QuotaDefaults
from breezeblock.resources.quotas import rules
from breezeblock.resources.types.table import volume_types
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler import capacity
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import quotas
from tests.checkers.quotas import differences

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - naive UTC, as stored
TYPES = ("1c5d6a3e-0000-4000-8000-000000000001", "1c5d6a3e-0000-4000-8000-000000000002")
POOL = "h@b#p"
ROOMY = QuotaDefaults(volumes=-1, gigabytes=-1, snapshots=-1)


def in_use(store: Store, project: str = "p") -> dict[str, int]:
    rows = store.read("in_use", lambda tx: tx.execute(sa.select(quotas).where(quotas.c.project_id == project)).all())
    return {row.resource: row.in_use for row in rows}


def charge(store: Store, deltas: dict[str, int], defaults: QuotaDefaults = ROOMY, project: str = "p") -> None:
    store.run("charge", lambda tx: rules.charge(tx, project, deltas, defaults))


def add_pool(tx: Tx, total: float = 1e6) -> None:
    pool = capacity.Report(
        POOL, "b", "p", total, total, 0, thin=True, reserved_percentage=0, max_over_subscription_ratio=1, capabilities={}
    )
    capacity.report(tx, "volume:h@b", [pool], NOW)


def new_volume(tx: Tx, project: str, size: int, type_id: str) -> str:
    """What a create does: the row first, then the pool, then the quotas."""
    volume_id = str(uuid.uuid4())
    row = {"id": volume_id, "project_id": project, "user_id": "u", "status": "available", "size_gib": size, "created_at": NOW}
    tx.execute(sa.insert(volumes), row | {"metadata": {}, "image_metadata": {}, "pool_id": POOL, "volume_type_id": type_id})
    assert capacity.reserve(tx, POOL, size)
    return volume_id


def test_missing_counters_are_inserted_and_existing_ones_are_added_to(store: Store) -> None:
    charge(store, rules.of_volume(5, TYPES[0]))
    charge(store, rules.of_volume(2, None))
    charge(store, {})
    t = TYPES[0]
    assert in_use(store) == {"volumes": 2, "gigabytes": 7, f"volumes_{t}": 1, f"gigabytes_{t}": 5}
    store.run("back", lambda tx: rules.give_back(tx, "p", rules.of_volume(5, TYPES[0])))
    assert in_use(store) == {"volumes": 1, "gigabytes": 2, f"volumes_{t}": 0, f"gigabytes_{t}": 0}


def test_a_refusal_names_everything_and_changes_nothing(store: Store) -> None:
    limits = QuotaDefaults(volumes=10, gigabytes=10)
    charge(store, rules.of_volume(8, TYPES[0]), limits)
    with pytest.raises(errors.OverQuota) as refused:
        charge(store, rules.of_volume(5, TYPES[0]), limits)
    said = refused.value
    assert (said.details["resource"], said.details["limit"], said.details["in_use"], said.details["asked"]) == ("gigabytes", 10, 8, 5)
    assert all(part in said.message for part in ("gigabytes", "10 GiB", "8 of", "5 GiB"))
    assert in_use(store)["volumes"] == 1
    charge(store, rules.of_volume(2, TYPES[0]), limits)


def test_a_first_charge_over_the_limit_is_refused_too(store: Store) -> None:
    with pytest.raises(errors.OverQuota):
        charge(store, rules.of_volume(11, None), QuotaDefaults(gigabytes=10))
    assert in_use(store) == {}


def test_the_projects_own_limit_wins_and_a_types_is_known_by_its_name(store: Store) -> None:
    own = {"project_id": "p", "in_use": 0}

    def prepare(tx: Tx) -> None:
        tx.execute(sa.insert(quotas), [own | {"resource": "volumes", "hard_limit": -1}])
        tx.execute(sa.insert(quotas), [own | {"resource": f"volumes_{TYPES[0]}", "hard_limit": 1}])
        kind = {"id": TYPES[0], "name": "fast_one", "is_public": True, "extra_specs": {}, "created_at": NOW}
        tx.execute(sa.insert(volume_types), kind)

    store.run("prepare", prepare)
    charge(store, rules.of_volume(1, TYPES[1]), QuotaDefaults(volumes=0))
    charge(store, rules.of_volume(1, TYPES[0]), QuotaDefaults(volumes=0))
    with pytest.raises(errors.OverQuota, match="volumes_fast_one"):
        charge(store, rules.of_volume(1, TYPES[0]), QuotaDefaults(volumes=0))


def test_giving_back_is_possible_over_the_limit_but_never_below_zero(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    charge(store, rules.of_volume(8, None))
    tight = QuotaDefaults(volumes=0, gigabytes=1)
    charge(store, {"gigabytes": -3}, tight)
    assert in_use(store)["gigabytes"] == 5
    with pytest.raises(errors.CounterBroken, match="gigabytes of project p"):
        charge(store, {"gigabytes": -6}, tight)
    assert in_use(store)["gigabytes"] == 5
    assert any(record.levelname == "CRITICAL" for record in caplog.records)


def test_per_volume_gigabytes(store: Store) -> None:
    def check(size: int, default: int) -> None:
        store.read("check", lambda tx: rules.check_volume_size(tx, "p", size, QuotaDefaults(per_volume_gigabytes=default)))

    check(5000, -1)
    check(5, 5)
    with pytest.raises(errors.OverQuota, match="at most 5 GiB"):
        check(6, 5)
    own = {"project_id": "p", "resource": "per_volume_gigabytes", "hard_limit": 7}
    store.run("own", lambda tx: tx.execute(sa.insert(quotas), own))
    check(7, 5)
    with pytest.raises(errors.OverQuota, match="at most 7 GiB"):
        check(8, -1)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    barrier = threading.Barrier(count)

    def started(number: int) -> None:
        barrier.wait(20)
        work(number)

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(started, range(count), timeout=60))


def test_sixteen_at_once_meet_no_deadlock(store: Store) -> None:
    """All insert, then add to, the same counters, named in different orders, of three projects. Nobody is tried twice."""
    tries = Counter[int]()

    def work(number: int) -> None:
        deltas = list(rules.of_volume(1, TYPES[number % 4 // 2]).items())

        def once(tx: Tx) -> None:
            tries[number] += 1
            rules.charge(tx, f"p{number % 3}", dict(deltas if number % 2 else reversed(deltas)), ROOMY)

        for _ in range(15):
            store.run("charge", once)

    in_threads(16, work)
    assert sum(in_use(store, f"p{n}")["volumes"] for n in range(3)) == 16 * 15
    assert sum(tries.values()) == 16 * 15


def test_exactly_as_many_as_the_limit_allows_win(store: Store) -> None:
    won = Counter[bool]()

    def work(number: int) -> None:
        for _ in range(3):
            try:
                charge(store, rules.of_volume(1, TYPES[0]), QuotaDefaults(volumes=20))
            except errors.OverQuota:
                won[False] += 1
            else:
                won[True] += 1

    in_threads(12, work)
    assert won == {True: 20, False: 16}
    assert in_use(store)["volumes"] == 20


class FailedError(Exception):
    """What a request may meet after it charged."""


Entry = tuple[str, str, int, str]
"""Volume, project, size, type."""


def create(tx: Tx, seed: float, *, fail: bool) -> Entry:
    dice = random.Random(seed)
    project, size, kind = dice.choice(("p", "q")), dice.randint(1, 9), dice.choice(TYPES)
    volume_id = new_volume(tx, project, size, kind)
    rules.charge(tx, project, rules.of_volume(size, kind), ROOMY)
    if fail:
        raise FailedError
    return volume_id, project, size, kind


def remove(tx: Tx, entry: Entry) -> None:
    volume_id, project, size, kind = entry
    assert tx.execute(sa.delete(volumes).where(volumes.c.id == volume_id)).rowcount == 1
    capacity.release(tx, POOL, size)
    rules.give_back(tx, project, rules.of_volume(size, kind))


def extend(tx: Tx, entry: Entry) -> Entry:
    volume_id, project, size, kind = entry
    tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(size_gib=size + 3))
    assert capacity.grow(tx, POOL, size, size + 3)
    rules.charge(tx, project, rules.of_growth(size, size + 3, kind), ROOMY)
    return volume_id, project, size + 3, kind


class Crowd:
    """Changes at random, each a transaction; a volume is one thread's at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tries = self.done = 0
        self.lock = threading.Lock()
        self.alive: list[Entry] = []

    def steps(self, number: int) -> None:
        dice = random.Random(number)
        for _ in range(42):
            self.step(dice.choice(("create", "create", "delete", "extend", "fail")), dice.random())

    def step(self, what: str, seed: float) -> None:
        with self.lock:
            victim = self.alive.pop(int(seed * len(self.alive))) if what in ("delete", "extend") and self.alive else None

        def work(tx: Tx) -> Entry | None:
            with self.lock:
                self.tries += 1
            if victim is None:
                return create(tx, seed, fail=what == "fail")
            if what == "extend":
                return extend(tx, victim)
            remove(tx, victim)
            return None

        made = None
        with contextlib.suppress(FailedError):
            made = self.store.run("step", work)
        with self.lock:
            self.done += 1
            self.alive += [made] if made else []


def test_five_hundred_mixed_changes_end_with_counters_equal_to_sums(store: Store) -> None:
    """Creates, deletes, extends, and requests that fail after they charged, by 12 threads over 2 projects, pools included."""
    store.run("pool", add_pool)
    crowd = Crowd(store)
    in_threads(12, crowd.steps)
    assert crowd.done == 12 * 42
    assert crowd.tries - crowd.done < 5, "transactions wait for each other; they are not thrown out and tried again"
    assert differences(store) == {}
    store.run("drift", lambda tx: tx.execute(sa.update(quotas).where(quotas.c.resource == "volumes").values(in_use=quotas.c.in_use + 1)))
    assert set(differences(store)) == {("p", "volumes"), ("q", "volumes")}, "the checker sees a drift"

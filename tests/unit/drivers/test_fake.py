"""The fake backend: rules for trouble, and what it remembers of late calls."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.fake import Action, FakeDriver, MemoryStore, Outcome, Phase, Rule, SqliteStore, late_effects
from breezeblock.drivers.interface import Call, DriverContext, Effect, Handle, SnapshotSpec, Token, VolumeSpec, effect_of
from tests.support.live_images import NothingLive

VOLUME = str(uuid.uuid4())
Store = MemoryStore | SqliteStore


def call(generation: int = 1, epoch: int = 1, resource: str = VOLUME) -> Call:
    return Call(str(uuid.uuid4()), {resource: Token(0, generation, epoch)})


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        sqlite = SqliteStore(tmp_path / "fake.sqlite")
        yield sqlite
        sqlite.close()


@pytest.fixture
def driver(store: Store) -> FakeDriver:
    return FakeDriver(DriverContext("fake", {"fake_store": store, "fake_capacity_gib": 10}, NothingLive()))


def made(driver: FakeDriver) -> Handle:
    return driver.create(call(), VolumeSpec(VOLUME, 1))


def test_a_rule_fails_the_next_calls_and_is_used_up(driver: FakeDriver, store: Store) -> None:
    number = store.add_rule(Rule("create", Action.FAIL, "driver.no_space", times=2))
    for _ in range(2):
        with pytest.raises(errors.NoSpace):
            made(driver)
    made(driver)
    assert store.struck(number) == 2
    assert [record.outcome for record in store.records()] == [Outcome.APPLIED]


def test_a_rule_after_the_effect_leaves_the_effect(driver: FakeDriver, store: Store) -> None:
    store.add_rule(Rule("create", Action.FAIL, phase=Phase.AFTER))
    with pytest.raises(errors.DriverError):
        made(driver)
    assert [found.resource_id for found in store.objects()] == [VOLUME]


def test_a_rule_is_about_its_own_resource(driver: FakeDriver, store: Store) -> None:
    store.add_rule(Rule("*", Action.FAIL, resource_id=str(uuid.uuid4())))
    made(driver)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_rules_reach_another_connection(driver: FakeDriver, store: Store, tmp_path: Path) -> None:
    steering = SqliteStore(tmp_path / "fake.sqlite")
    number = steering.add_rule(Rule("create", Action.FAIL))
    with pytest.raises(errors.DriverError):
        made(driver)
    assert steering.struck(number) == 1
    steering.close()


def test_a_call_held_back_is_refused_after_a_newer_one(driver: FakeDriver, store: Store) -> None:
    handle = made(driver)
    number = store.add_rule(Rule("extend", Action.HOLD, "30"))
    refused: list[errors.Fenced] = []

    def zombie() -> None:
        try:
            driver.extend(call(generation=2, epoch=1), VOLUME, handle, 2)
        except errors.Fenced as refusal:
            refused.append(refusal)

    thread = threading.Thread(target=zombie)
    thread.start()
    assert store.wait_struck(number, 10)
    driver.extend(call(generation=2, epoch=2), VOLUME, handle, 3)
    store.drop_rule(number)
    thread.join(10)
    assert [str(refusal.details["seen"]) for refusal in refused] == ["0.2.2"]
    assert store.objects()[0].size_gib == 3
    assert late_effects(store.records()) == []


def test_a_late_effect_is_reported_where_no_fence_stops_it(store: Store, driver: FakeDriver) -> None:
    class Unfenced(FakeDriver):
        def extend(self, call: Call, volume_id: str, handle: Handle, size_gib: int) -> Handle:
            grown: Handle = super().extend(call, volume_id, handle, size_gib)
            return grown

    unfenced = Unfenced(DriverContext("fake", {"fake_store": store}, NothingLive()))
    handle = made(driver)
    unfenced.extend(call(generation=5), VOLUME, handle, 2)
    unfenced.extend(call(generation=4), VOLUME, handle, 3)
    assert [(found.late.method, str(found.newest)) for found in late_effects(store.records())] == [("extend", "0.5.1")]


def test_a_late_private_call_is_no_violation(driver: FakeDriver, store: Store) -> None:
    driver.create(call(epoch=2), VolumeSpec(VOLUME, 1))
    driver.create(call(epoch=1), VolumeSpec(VOLUME, 1))
    assert len(store.objects()) == 2
    assert late_effects(store.records()) == []
    assert len(late_effects(store.records(), [Effect.PRIVATE])) == 1


def test_freezing_gives_the_volume_a_new_object(store: Store) -> None:
    driver = FakeDriver(DriverContext("fake", {"fake_store": store, "fake_freezes": True}, NothingLive()))
    handle = made(driver)
    left = driver.snapshot(call(generation=2), handle, SnapshotSpec(str(uuid.uuid4()), VOLUME, 1))
    assert left.new == handle
    assert left.source != handle
    assert effect_of(driver, "snapshot") is Effect.PRIVATE


def test_it_runs_out_of_space_and_keeps_nothing(driver: FakeDriver, store: Store) -> None:
    with pytest.raises(errors.NoSpace):
        driver.create(call(), VolumeSpec(VOLUME, 11))
    assert store.objects() == []
    made(driver)
    assert driver.pools()[0].free_gib == 9


def test_latency_is_waited_for_by_the_sleep_given() -> None:
    waits: list[float] = []
    driver = FakeDriver(DriverContext("fake", {"fake_latency_seconds": 0.25, "fake_sleep": waits.append}, NothingLive()))
    made(driver)
    assert waits == [0.25]


def test_records_are_bounded() -> None:
    store = MemoryStore(remember=3)
    driver = FakeDriver(DriverContext("fake", {"fake_store": store}, NothingLive()))
    for _ in range(5):
        made(driver)
    assert len(store.records()) == 3

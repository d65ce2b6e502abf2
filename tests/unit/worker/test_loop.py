"""The claim loop: what it starts, when, and what it never waits for (protocol rules R5 and R10)."""

import datetime
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import Settings
from breezeblock.core.clock import SystemClock
from breezeblock.core.leases import Incarnation
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import jobs
from breezeblock.worker.loop import Loop, Surroundings, Worker
from tests.unit.core import toy

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BOUND_SECONDS = 10.0


class HurriedClock:
    """Every look at it is two seconds later; nobody sleeps."""

    def __init__(self) -> None:
        self._now = 0.0
        self.slept: list[float] = []

    def utcnow(self) -> datetime.datetime:
        return SystemClock().utcnow()

    def boottime(self) -> float:
        self._now += 2.0
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Scene:
    """A loop on the toy's queue, which a test lets run."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = HurriedClock()
        around = Surroundings(store, toy.REGISTRY, self.clock, Settings(), {})
        self.worker = Worker(around, Incarnation(toy.worker(store), "here", "other-boot:1:1:1", (toy.QUEUE,), toy.REGISTRY.kinds()))
        self.lost: list[errors.LostLease] = []
        self.alone: list[str] = []
        self.changed = threading.Condition()

    def _start_alone(self, job_id: str) -> None:
        with self.changed:
            self.alone.append(job_id)
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + BOUND_SECONDS
        with self.changed:
            while not condition():
                assert time.monotonic() < end
                self.changed.wait(0.01)

    @contextmanager
    def running(self, slots: Mapping[str, int]) -> Iterator[Loop]:
        def wait(seconds: float) -> None:
            with self.changed:
                self.changed.wait(0.005)
                self.changed.notify_all()

        loop = Loop(self.worker, slots, wait, self._start_alone, self.lost.append)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            yield loop
        finally:
            for job_id in list(self.alone):
                loop.suspect_ended(job_id)
            assert loop.stop(BOUND_SECONDS)
            thread.join(BOUND_SECONDS)
            assert not thread.is_alive()

    def ask(self, count: int, **job: Any) -> list[str]:
        return [toy.ask(self.store, "look", toy.gadget(self.store), **job) for _ in range(count)]

    def suspect(self, count: int, **job: Any) -> list[str]:
        asked = self.ask(count, **job)
        self.store.run("toy", lambda tx: tx.execute(sa.update(jobs).where(jobs.c.id.in_(asked)).values(suspect=True)))
        return asked

    def states(self) -> set[str]:
        return set(self.store.read("toy", lambda tx: tx.execute(sa.select(jobs.c.state)).scalars().all()))


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def test_everything_queued_is_run(scene: Scene) -> None:
    scene.ask(9)
    with scene.running({"sync": 1, "normal": 2, "long": 1}):
        scene.until(lambda: scene.states() == {"done"})
    assert scene.lost == []


def test_suspects_do_not_wait_until_there_is_no_other_work(scene: Scene) -> None:
    scene.ask(20)
    [suspect] = scene.suspect(1)
    seen: list[set[str]] = []
    claim = scene.worker.claim

    def always_busy(slots: Mapping[str, int]) -> Any:
        found = claim(slots)
        seen.append(set(scene.alone))
        return found

    scene.worker.claim = always_busy  # type: ignore[method-assign]
    with scene.running({"normal": 1}):
        scene.until(lambda: len(seen) > 10)
    assert any(suspect in alone for alone in seen[:10])


def test_no_more_suspects_of_a_class_run_than_it_has_slots(scene: Scene) -> None:
    suspects = scene.suspect(3, job_class="long")
    normal = scene.suspect(1)
    with scene.running({"normal": 2, "long": 2}) as loop:
        scene.until(lambda: len(scene.alone) == 3)
        assert set(scene.alone) >= set(normal)
        first = next(job_id for job_id in scene.alone if job_id in suspects)
        loop.suspect_ended(first)
        scene.store.run("toy", lambda tx: tx.execute(sa.update(jobs).where(jobs.c.id == first).values(state="done")))
        scene.until(lambda: set(scene.alone) == {*suspects, *normal})


def test_a_fenced_worker_ends(scene: Scene) -> None:
    toy.fence(scene.store, scene.worker.incarnation.id)
    with scene.running({"normal": 1}):
        scene.until(lambda: bool(scene.lost))


def test_a_job_whose_end_the_database_refuses_is_run_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for example: the job is not forgotten, and ends when there is room again."""
    [job_id] = scene.ask(1)
    [job] = scene.worker.claim({"normal": 1})
    run = scene.store.run
    refused: list[str] = []

    def full(name: str, work: Any) -> Any:
        if name.startswith(("gadgets.look.finish", "jobs.drop")) and len(refused) < 6:
            refused.append(name)
            raise sa.exc.OperationalError("UPDATE", {}, Exception("database or disk is full"))
        return run(name, work)

    monkeypatch.setattr(scene.store, "run", full)
    scene.worker.perform(job)
    assert toy.state(scene.store, job_id) == "done"
    assert len(scene.clock.slept) == 2
    assert scene.clock.slept[0] < scene.clock.slept[1]


def test_a_running_job_goes_on_from_its_last_checkpoint_when_the_database_comes_back(scene: Scene) -> None:
    scene.ask(1)
    [job] = scene.worker.claim({"normal": 1})
    seen: list[Any] = []

    def look(work: Any, _: Any) -> None:
        seen.append(work.job.checkpoint)
        if work.job.checkpoint is None:
            work.checkpoint({"done": 1})
            raise errors.DatabaseAway
        work.finish()

    object.__setattr__(scene.worker.around, "registry", toy.registry_with(toy.with_run("look", look)))
    scene.worker.perform(job)
    assert seen == [None, {"done": 1}]

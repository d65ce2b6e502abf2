"""Runs a scenario with a fault at one point, heals, and says whether everything came out as if nothing had happened."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from breezeblock.core import faults
from breezeblock.store.tables.protocol import jobs
from breezeblock.worker.collect import collect
from tests.checkers.everything import Watch
from tests.crash.scenarios import Ids, Scenario, ids_for
from tests.support.world import Crash, World, crash_at, recording

BOUND_SECONDS = 30.0


class Run:
    """One scenario in one world."""

    def __init__(self, world: World, watch: Watch, scenario: Scenario) -> None:
        self.world = world
        self.watch = watch
        self.scenario = scenario
        self.ids: Ids = ids_for(scenario)
        scenario.prepare(world, self.ids)

    def ask(self) -> None:
        """The request; a client whose request got lost asks again."""
        try:
            self.scenario.ask(self.world, self.ids)
        except Crash:
            if not self._accepted():
                self.scenario.ask(self.world, self.ids)

    def _accepted(self) -> bool:
        statement = sa.select(jobs.c.id).where(jobs.c.id == self.ids["job"])
        return self.world.store.read("accepted", lambda tx: tx.execute(statement).first()) is not None

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """The scenario's trouble is laid on the backend meanwhile."""
        store, rule = self.world.driver.store, self.scenario.trouble
        number = store.add_rule(rule) if rule else None
        try:
            yield
        finally:
            if number is not None:
                store.drop_rule(number)

    def assert_converged(self, point: str) -> None:
        """The row has its final status, the job its final state, the backend and every counter agree."""
        what = f"{self.scenario.id}, {point}"
        statement = sa.select(jobs.c.state).where(jobs.c.id == self.ids["job"])
        state = self.world.store.read("state", lambda tx: tx.execute(statement).scalar_one_or_none())
        assert state == self.scenario.job, f"{what}: the job is {state}"
        for label, (table, status) in self.scenario.ends.items():
            row = self.world.row(table, self.ids[label])
            found = None if row is None else row["status" if "status" in row else "attach_status"]
            assert found == status, f"{what}: {label} is {found}, not {status}"
        self.watch.assert_sound(healed=True, after=what)


def points_of(world: World, scenario: Scenario) -> list[str]:
    """The fault points that one clean run reaches, up to the last that is not an idle claim's."""
    run = Run(world, Watch(world.store, world.registry, world.driver), scenario)
    points: list[str] = []
    with run.trouble(), faults.hooked(recording(points)):
        run.ask()
        world.settle()
    collect(world.store, world.registry, world.backend)
    run.assert_converged("nothing went wrong")
    last = max(place for place, point in enumerate(points) if not point.startswith("jobs.claim."))
    return points[: last + 1]


def crash(run: Run, index: int, again: int | None = None) -> bool:
    """Crash at the point reached as number ``index``, and, in the recovery, at number ``again``; whether the latter was reached."""
    hook, second = crash_at(index), crash_at(again if again is not None else 1 << 30)
    crashed_again = False
    with run.trouble():
        with faults.hooked(hook), suppress(Crash):
            run.ask()
            run.world.settle()
        run.watch.assert_sound(after=f"{run.scenario.id}, right after the crash at point {index}")
        with faults.hooked(second):
            try:
                run.world.heal()
            except Crash:
                crashed_again = True
        run.world.heal()
    return crashed_again


class Pause:
    """A fault hook that holds one thread at the point reached as number ``index``, until it is told to go on."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._reached = 0
        self._victim: threading.Thread | None = None
        self.held = threading.Event()
        self._go = threading.Event()
        self.point = ""

    def __call__(self, name: str) -> None:
        """The hook."""
        if threading.current_thread() is not self._victim:
            return
        self._reached += 1
        if self._reached == self._index + 1:
            self.point = name
            self.held.set()
            assert self._go.wait(BOUND_SECONDS), "the test forgot its zombie"

    @contextmanager
    def holding(self, work: Callable[[], Any]) -> Iterator[None]:
        """``work`` runs in a thread up to the point, and goes on when the block ends; then it is waited for."""
        self._victim = threading.Thread(target=self._quietly, args=(work,), name="zombie", daemon=True)
        with faults.hooked(self):
            self._victim.start()
            try:
                assert self.held.wait(BOUND_SECONDS), f"point {self._index} was not reached"
                yield
            finally:
                self._go.set()
                self._victim.join(BOUND_SECONDS)
            assert not self._victim.is_alive(), "the zombie does not end"

    @staticmethod
    def _quietly(work: Callable[[], Any]) -> None:
        with suppress(Exception):
            work()


def old_hands(world: World) -> Callable[[], None]:
    """The workers of now, at work until there is nothing to do; others may have come in their place by then."""
    scheduler, volume = world.scheduler, world.volume

    def settle() -> None:
        while world.step(scheduler) + world.step(volume):
            pass

    return settle


def everything_in(world: World) -> Mapping[str, Any]:
    """Everything in the database that a zombie must not change."""

    def read(tx: Any) -> Mapping[str, Any]:
        names = ("volumes", "snapshots", "attachments", "jobs", "job_lanes", "events", "messages", "quotas", "pools", "workers")
        return {name: sorted(map(str, tx.execute(sa.text(f"SELECT * FROM {name}")).all())) for name in names}

    return world.store.read("everything", read)


def storage(world: World) -> Mapping[str, Any]:
    """Everything on the backend that somebody needs, once the leftovers are collected."""
    collect(world.store, world.registry, world.backend)
    return {each.name: each for each in world.driver.store.objects()}

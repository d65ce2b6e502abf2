"""A worker that is paused, fenced and replaced, and goes on afterwards: it changes nothing, in the database or on the storage.

Paused in the middle of a transaction, a worker holds what it has locked: on SQLite everything (there the kernel timer ends
it), on a server its rows, until the server ends the idle session or the rescuer has it ended.
"""

from pathlib import Path

import pytest

from breezeblock.store.dialect import Limits
from tests.checkers.everything import Watch
from tests.crash.harness import Pause, Run, everything_in, old_hands, points_of, storage
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.support.world import World


def survives(world: World, watch: Watch, scenario: Scenario, index: int) -> str:
    """Pause at a worker's point, take over, finish, go on; returns the point."""
    run = Run(world, watch, scenario)
    run.ask()
    pause = Pause(index)
    with run.trouble():
        with pause.holding(old_hands(world)):
            world.heal()
            run.assert_converged(f"taken over while a zombie stood at {pause.point}")
            before = everything_in(world), storage(world)
        assert (everything_in(world), storage(world)) == before, f"{scenario.id}: the zombie of {pause.point} changed something"
    run.assert_converged(f"after the zombie of {pause.point}")
    return pause.point


def workers_points(world: World, scenario: Scenario) -> list[tuple[int, str]]:
    """The points that workers reach, counted from the first claim."""
    points = points_of(world, scenario)
    asked = next(place for place, point in enumerate(points) if point.endswith(".request.commit.after")) + 1
    return list(enumerate(points[asked:]))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.id)
def test_a_zombie_changes_nothing(world: World, watch: Watch, scenario: Scenario) -> None:
    for index, point in workers_points(world, scenario):
        if not point.endswith(".commit.before"):
            assert survives(world, watch, scenario, index) == point


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
def test_a_zombie_in_the_middle_of_a_transaction_changes_nothing_either(database: str, tmp_path: Path) -> None:
    """Its row locks hold the rescuer up until the server ends the idle session."""
    world = World(database, tmp_path, migrated=True, limits=Limits(idle_in_transaction=1, lock=1))
    watch = Watch(world.store, world.registry, world.driver)
    scenario = next(each for each in SCENARIOS if each.id == "volumes.create-from a volume")
    inside = [index for index, point in workers_points(world, scenario) if point.endswith(".commit.before")]
    reached = {survives(world, watch, scenario, index) for index in inside}
    assert "volumes.create.finish.commit.before" in reached
    world.store.dispose()

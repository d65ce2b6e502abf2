"""A crash at every point of every verb: whatever dies, the request comes out as if nothing had happened.

The points are not listed anywhere: one clean run of each scenario records them.
"""

import pytest

from breezeblock.resources import catalogue
from tests.checkers.everything import Watch
from tests.crash.harness import Run, crash, points_of
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.support.world import World

SAMPLE = ("volumes.create-from a volume", "volumes.extend")
sample = pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.id in SAMPLE], ids=lambda each: each.id)
all_scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.id)


def test_every_verb_of_the_catalogue_has_a_scenario() -> None:
    assert set(catalogue.registry().verbs) == {scenario.verb for scenario in SCENARIOS}


@all_scenarios
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_crash_at_every_point_converges(world: World, watch: Watch, scenario: Scenario) -> None:
    points = points_of(world, scenario)
    assert any(point.endswith(".request.commit.after") for point in points)
    for index, point in enumerate(points):
        run = Run(world, watch, scenario)
        crash(run, index)
        run.assert_converged(f"crash at {index}: {point}")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@sample
def test_a_second_crash_in_the_recovery_converges_too(world: World, watch: Watch, scenario: Scenario) -> None:
    points = points_of(world, scenario)
    for index in range(3, len(points), 4):
        again, crashed = index % 3, True
        while crashed:
            run = Run(world, watch, scenario)
            crashed = crash(run, index, again)
            run.assert_converged(f"crash at {index}: {points[index]}, and again at point {again} of the recovery")
            again += 6


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
@sample
def test_on_the_other_databases(world: World, watch: Watch, scenario: Scenario) -> None:
    points = points_of(world, scenario)
    for index, point in enumerate(points):
        run = Run(world, watch, scenario)
        crash(run, index)
        run.assert_converged(f"crash at {index}: {point}")

"""The process dies at each step of each call; the job's next holder ends as if there had been one call."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breezeblock.drivers.conformance import SCENARIOS, Subject, World
from breezeblock.drivers.conformance.scenarios import Prepared
from tests.support.deaths import at_each_step
from tests.support.file_backend import file_driver


class _Prepared:
    """The world of the present step."""

    def __init__(self, path: Path, method: str, options: dict[str, Any]) -> None:
        self._path, self._method, self._options = path, method, options
        self.world: World
        self.call: Prepared

    def again(self) -> Callable[[], object]:
        path = self._path / str(uuid.uuid4())
        self.world = World(Subject(lambda: file_driver(path, **self._options)))
        self.call = SCENARIOS[self._method](self.world)
        driver = self.world.subject.build()
        return lambda: self.call.perform(driver, self.call.job.call(1))


def survives(prepared: _Prepared, epoch: int) -> int:
    steps = 0
    for step in at_each_step(prepared.again):
        world, call = prepared.world, prepared.call
        call.publish(call.perform(world.subject.build(), call.job.call(epoch)))
        world.end(call.job)
        world.collect()
        world.check()
        steps = step
    return steps


@pytest.mark.parametrize("method", SCENARIOS)
@pytest.mark.parametrize("epoch", [1, 2], ids=["retried", "taken over"])
def test_raw(xfs: Path, method: str, epoch: int) -> None:
    assert survives(_Prepared(xfs, method, {}), epoch) >= 1


@pytest.mark.parametrize("method", SCENARIOS)
@pytest.mark.parametrize("epoch", [1, 2], ids=["retried", "taken over"])
def test_qcow2(ext4: Path, method: str, epoch: int) -> None:
    assert survives(_Prepared(ext4, method, {}), epoch) >= 1


@pytest.mark.parametrize("method", ["create", "create_from_snapshot", "snapshot", "clone", "revert"])
def test_given_up(ext4: Path, method: str) -> None:
    """Nobody takes the job over: what it left is collected, and the volume goes on as if it had never been."""
    prepared = _Prepared(ext4, method, {"file_chain_limit": 2})
    for _ in at_each_step(prepared.again):
        world = prepared.world
        world.end(prepared.call.job)
        world.collect()
        world.check()
        for row in [row for row in world.volumes.values() if row.handle is not None]:
            world.snapshot(row)
        world.check()


@pytest.mark.parametrize("method", ["snapshot", "clone", "extend", "revert"])
def test_merging(ext4: Path, method: str) -> None:
    """Each of these with a chain that is merged on the way."""
    assert survives(_Prepared(ext4, method, {"file_chain_limit": 1}), 2) >= 1

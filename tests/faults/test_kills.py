"""``kill -9`` of volume workers inside of driver calls, fifty operations in flight on real storage: nothing is lost or left over."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.store.engine import Store
from tests.support.deadly import Order, Struck
from tests.support.filesystems import mounted
from tests.support.processes import Deployment, configuration, deployed
from tests.support.service import await_
from tests.support.storm import Storm

pytestmark = pytest.mark.timeout(240)
SEED = 20260
WORKER = {"max_attempts": 6, "slots_normal": 2}
GUSTS = 6
WORKERS = 3


class Killer:
    """Keeps one order in force until so many were obeyed."""

    def __init__(self, deployment: Deployment, kills: int, seed: int) -> None:
        self._deployment = deployment
        self._wanted = kills
        self._dice = random.Random(seed)
        self._order: str | None = None
        self.found: list[Struck] = []

    @property
    def done(self) -> bool:
        """Whether there were enough."""
        return len(self.found) >= self._wanted

    def arm(self) -> None:
        """Have the next instant in force."""
        if not self.done:
            order = Order("*", step=self._dice.randint(1, 9))
            self._order = self._deployment.orders.give(order)

    def hit(self) -> bool:
        """Whether somebody obeyed the order that is in force."""
        return self._order is not None and bool(self._deployment.orders.struck(self._order))

    def take(self) -> Struck | None:
        """Who obeyed it; it is in force no more."""
        if self._order is None:
            return None
        self._deployment.orders.withdraw(self._order)
        new = self._deployment.orders.struck(self._order)
        self._order = None
        self.found += new
        return next(iter(new), None)


def gust(deployment: Deployment, storm: Storm, killer: Killer, store: Store) -> None:
    """Fifty operations are asked for while no volume worker runs; then three begin, and are killed, at most two at a time.

    The others must fence a dead one before a new one is started.
    """
    storm.doom(store)
    for process in deployment.volume_workers():
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert storm.begin() >= 50
    killer.arm()
    for _ in range(WORKERS):
        deployment.volume()
    for struck in kills(deployment, killer, store):
        await_(lambda pid=struck.pid: pid not in deployment.live(store), 20, deployment.tail)  # type: ignore[misc]
        deployment.volume()


def kills(deployment: Deployment, killer: Killer, store: Store) -> Iterator[Struck]:
    """Each process that is killed until all work has ended."""
    while True:
        await_(lambda: killer.hit() or not deployment.unfinished(store), 60, deployment.tail, 0.05)
        struck = killer.take()
        if struck is None:
            return
        killer.arm()
        yield struck


def storm_of_kills(deployment: Deployment, folder: Path, kills: int, seed: int) -> list[Struck]:
    """Gusts until there were enough kills, and a look at everything."""
    killer = Killer(deployment, kills, seed)
    with deployed(deployment), deployment.database() as store:
        deployment.begin(volume_workers=WORKERS)
        storm = Storm(deployment, folder, seed)
        storm.prepare(store)
        for _ in range(GUSTS):
            gust(deployment, storm, killer, store)
            if killer.done:
                break
        deployment.destroy()
        storm.verify(store)
    return killer.found


def test_another_worker_takes_over_on_qcow2(tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    found = storm_of_kills(Deployment(tmp_path / "state", configuration(f"file_path = {folder}", worker=WORKER)), folder, 7, SEED)
    assert len(found) == 7
    assert all(struck.inside for struck in found)


def test_another_worker_takes_over_on_reflinks(tmp_path: Path) -> None:
    with mounted("xfs", tmp_path, 600) as point:
        config = configuration(f"file_path = {point}/volumes\nfile_format = raw\nmax_over_subscription_ratio = 1000", worker=WORKER)
        found = storm_of_kills(Deployment(tmp_path / "state", config), point / "volumes", 6, SEED + 1)
    assert len(found) == 6
    assert all(struck.inside for struck in found)


def test_the_restarted_worker_takes_up_its_own_work(tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    deployment = Deployment(tmp_path / "state", configuration(f"file_path = {folder}", worker=WORKER))
    killer = Killer(deployment, 7, SEED + 2)
    with deployed(deployment):
        deployment.serve()
        with deployment.database() as store:
            storm = Storm(deployment, folder, SEED)
            storm.prepare(store)
            for _ in range(GUSTS):
                storm.doom(store)
                killer.arm()
                assert storm.begin() >= 50
                for _ in kills(deployment, killer, store):
                    pass
                if killer.done:
                    break
            assert deployment.stop() == 0
            storm.verify(store)
    assert len(killer.found) == 7
    assert all(struck.inside for struck in killer.found)

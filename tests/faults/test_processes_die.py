"""The scheduler, the API and the supervisor are killed at the worst moments: what was accepted is done, and is done once."""

import signal
import urllib.error
from pathlib import Path

import pytest
import sqlalchemy as sa

from breezeblock.resources import catalogue
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store
from tests.checkers.everything import Watch
from tests.support.deadly import Order
from tests.support.processes import Deployment, configuration, deployed
from tests.support.service import await_

LOST = (urllib.error.URLError, ConnectionError, TimeoutError)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A fake backend."""
    return configuration(f"volume_driver = fake\nfake_path = {tmp_path}/fake.sqlite")


def sound(store: Store, expected: set[str]) -> None:
    """These volumes are there, available, and everything agrees."""
    rows = store.read("test.rows", lambda tx: tx.rows(sa.select(volumes.c.id, volumes.c.status)))
    assert {row["id"]: row["status"] for row in rows} == dict.fromkeys(expected, "available")
    Watch(store, catalogue.registry()).assert_sound(healed=True)


@pytest.mark.parametrize("edge", ["before", "after"])
def test_the_scheduler_dies_at_its_hand_off(tmp_path: Path, config: str, edge: str) -> None:
    with deployed(Deployment(tmp_path / "state", config)) as deployment, deployment.database() as store:
        deployment.begin(volume_workers=1)
        order = deployment.orders.give(Order(f"volumes.create.hand_off.commit.{edge}"))
        made = {deployment.create() for _ in range(10)}
        assert deployment.scheduler.wait() == -signal.SIGKILL
        assert [struck.pid for struck in deployment.orders.struck(order)] == [deployment.scheduler.pid]
        deployment.run("worker", "--role", "scheduler")
        deployment.settle(store)
        sound(store, made)


def test_the_api_dies_between_its_commit_and_its_answer(tmp_path: Path, config: str) -> None:
    """The client hears nothing, and finds the volume that it asked for."""
    with deployed(Deployment(tmp_path / "state", config)) as deployment:
        deployment.serve()
        with deployment.database() as store:
            order = deployment.orders.give(Order("volumes.create.request.commit.after", who="any"))
            with pytest.raises(LOST):
                deployment.create(name="lost")
            assert deployment.orders.struck(order)
            await_(lambda: deployment.health() == 200, 20, deployment.tail)
            deployment.settle(store)
            _, body = deployment.ask("GET", "/volumes?name=lost")
            (found,) = body["volumes"]
            sound(store, {found["id"]})


def test_the_api_dies_before_its_commit(tmp_path: Path, config: str) -> None:
    """Nothing was accepted, and nothing is counted."""
    with deployed(Deployment(tmp_path / "state", config)) as deployment:
        deployment.serve()
        with deployment.database() as store:
            deployment.orders.give(Order("volumes.create.request.commit.before", who="any"))
            with pytest.raises(LOST):
                deployment.create()
            await_(lambda: deployment.health() == 200, 20, deployment.tail)
            made = deployment.create()
            deployment.settle(store)
            sound(store, {made})


def test_the_supervisor_dies_with_work_under_way(tmp_path: Path, config: str) -> None:
    with deployed(Deployment(tmp_path / "state", f"{config}fake_latency_seconds = 0.3\n")) as deployment:
        deployment.serve()
        made = {deployment.create() for _ in range(20)}
        with deployment.database() as store:
            assert deployment.unfinished(store) > 0
            deployment.signal(signal.SIGKILL)
            deployment.wait(10)
            deployment.serve()
            deployment.settle(store)
            sound(store, made)

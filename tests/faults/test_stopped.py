"""A worker that is stopped for longer than its lease, or whose job stands still while the lease is lost, changes nothing any more."""

import hashlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.drivers.fake.sqlite import SqliteStore
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import workers
from breezeblock.worker.main import LOST_LEASE_EXIT
from tests.support.deadly import Order
from tests.support.processes import LONG_LEASE, SHORT_LEASE, Deployment, configuration, deployed, fake_backend, resume
from tests.support.service import await_


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[SqliteStore]:
    """What the workers' backend remembers."""
    with fake_backend(tmp_path / "fake.sqlite") as store:
        yield store


@pytest.fixture
def deployment(tmp_path: Path, fake: SqliteStore) -> Iterator[Deployment]:
    """With one volume worker upon the fake backend."""
    config = configuration(f"volume_driver = fake\nfake_path = {tmp_path}/fake.sqlite", lease=SHORT_LEASE)
    with deployed(Deployment(tmp_path / "state", config)) as made:
        made.begin(volume_workers=1)
        yield made


def state_of(pid: int) -> str:
    """As the kernel has it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def dump(store: Store) -> dict[str, Any]:
    """All that a job's end could change."""

    def look(tx: Tx) -> dict[str, Any]:
        names = ("jobs", "job_lanes", "events", "quotas", "volumes", "snapshots", "messages")
        return {name: sorted(json.dumps(row, default=str) for row in tx.rows(sa.text(f"SELECT * FROM {name}"))) for name in names}

    return store.read("test.dump", look)


def test_the_kernel_ends_a_stopped_worker_when_its_lease_is_over(deployment: Deployment, tmp_path: Path) -> None:
    """Nobody is left who could kill it: the API and the scheduler are stopped first, and the volume worker is the last."""
    (first,) = deployment.volume_workers()
    with deployment.database() as store:
        order = deployment.orders.give(Order("volumes.create.create.before", signal=signal.SIGSTOP))
        volume_id = deployment.create()
        await_(lambda: bool(deployment.orders.struck(order)), 20, deployment.tail)
        for process in (deployment.api, deployment.scheduler):
            process.signal(signal.SIGSTOP)
        await_(lambda: state_of(first.pid) == "T", 5, deployment.tail)
        began = time.monotonic()
        assert first.wait(10) == -signal.SIGKILL
        assert time.monotonic() - began < 4, "the lease is 3 seconds"
        deployment.scheduler.wait(10)
        resume(deployment.api.pid)
        deployment.run("worker", "--role", "scheduler")
        deployment.volume()
        deployment.settle(store, 30)
        assert deployment.status(f"/volumes/{volume_id}") == "available"


ZOMBIES = {
    "volumes.extend.extend": lambda deployment, volume_id: deployment.extend(volume_id, 2),
    "snapshots.create.snapshot": lambda deployment, volume_id: deployment.want("POST", "/snapshots", "snapshot", volume_id=volume_id),
    "volumes.create.clone": lambda deployment, volume_id: deployment.create(source_volid=volume_id),
    "volumes.delete.delete": lambda deployment, volume_id: deployment.delete(f"/volumes/{volume_id}"),
}


@pytest.mark.parametrize("edge", ["before", "after"])
def test_a_zombie_changes_nothing_in_the_database_or_on_the_disk(tmp_path: Path, edge: str) -> None:
    """Its jobs' threads stand still at their driver calls while another worker does the jobs; its other threads notice nothing."""
    folder = tmp_path / "volumes"
    config = configuration(f"file_path = {folder}", lease=LONG_LEASE)
    with deployed(Deployment(tmp_path / "state", config)) as deployment, deployment.database() as store:
        deployment.begin(volume_workers=1)
        (first,) = deployment.volume_workers()
        volumes = [deployment.create() for _ in ZOMBIES]
        deployment.settle(store)
        zombie = deployment.live(store)[first.pid]
        orders = [deployment.orders.give(Order(f"{call}.{edge}", hold=True)) for call in ZOMBIES]
        for ask, volume_id in zip(ZOMBIES.values(), volumes, strict=True):
            ask(deployment, volume_id)
        await_(lambda: all(deployment.orders.struck(order) for order in orders), 20, deployment.tail)
        deployment.volume()
        await_(lambda: len(deployment.live(store)) == 3, 20, deployment.tail)
        deployment.orders.numb(first.pid)
        fence(store, zombie)
        deployment.settle(store, 30)
        database, disk = dump(store), contents(folder)
        for order in orders:
            deployment.orders.release(order)
        assert first.wait(20) == LOST_LEASE_EXIT
        assert (dump(store), contents(folder)) == (database, disk)


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Every image: its size and what is in it."""
    return {
        path.name: (path.stat().st_size, hashlib.file_digest(path.open("rb"), "sha256").hexdigest())
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def fence(store: Store, worker_id: str) -> None:
    """What a rescuer of another host, which cannot kill the process, writes."""
    mine = (workers.c.id == worker_id, workers.c.state == "live")
    assert store.run("test.fence", lambda tx: tx.execute(sa.update(workers).where(*mine).values(state="fenced")).rowcount) == 1

"""The collector never takes what a finish publishes while it looks."""

import datetime
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.core import faults
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import create, rules
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store, Tx
from breezeblock.worker.collect import collect
from tests.support.world import World

SECONDS = 20


@pytest.fixture
def world(database: str, tmp_path: Path) -> Iterator[World]:
    made = World(database, tmp_path)
    yield made
    made.store.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("finished_before", [1, 2])
def test_a_finish_between_its_reads(world: World, monkeypatch: pytest.MonkeyPatch, finished_before: int) -> None:
    """The object was made and listed; its job ends before the collector's first read, or before its second."""
    made, go_on = threading.Event(), threading.Event()

    def pause(name: str) -> None:
        if name == "volumes.create.create.after":
            made.set()
            assert go_on.wait(SECONDS)

    world.ask(create, {"size": 1})
    world.step(world.scheduler)
    with faults.hooked(pause):
        worker = threading.Thread(target=world.step, args=(world.volume,))
        worker.start()
        assert made.wait(SECONDS)

        def finish() -> None:
            go_on.set()
            worker.join(SECONDS)

        monkeypatch.setattr(Store, "read", _interrupted(Store.read, finished_before, finish))
        assert collect(world.store, world.registry, world.backend) == []
        monkeypatch.undo()
    (row,) = world.all(volumes)
    assert row["status"] == "available"
    assert [found.name for found in world.driver.objects()] == list(world.driver.referenced([row["handle"]]))


def _interrupted(read: Callable[..., Any], number: int, interrupt: Callable[[], object]) -> Callable[..., Any]:
    """``Store.read`` that lets something happen before the collector's read of that number."""
    count = 0

    def interrupted(store: Store, name: str, work: Callable[..., Any]) -> Any:
        nonlocal count
        if name.startswith("collect."):
            count += 1
            if count == number:
                interrupt()
        return read(store, name, work)

    return interrupted


class Counting:
    """A transaction that counts its statements."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.statements = 0

    def execute(self, statement: sa.Executable) -> sa.CursorResult[Any]:
        self.statements += 1
        return self._tx.execute(statement)


def test_all_handles_are_of_one_instant(store: Store) -> None:
    """Two statements of one READ COMMITTED transaction see two states, and a file that passed between two tables in neither."""
    now = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 -- the tables hold naive UTC
    common = {"project_id": "p", "user_id": "u", "status": "available", "created_at": now, "size_gib": 1, "metadata": {}}
    here, there = str(uuid.uuid4()), str(uuid.uuid4())

    def fill(tx: Tx) -> None:
        for volume_id, pool in ((here, "here@files#files"), (there, "here@files2#files2")):
            tx.execute(sa.insert(volumes).values(common | {"id": volume_id, "pool_id": pool, "handle": {"of": pool}, "image_metadata": {}}))
            handle = {"snapshot of": pool}
            tx.execute(sa.insert(snapshots).values(common | {"id": str(uuid.uuid4()), "volume_id": volume_id, "handle": handle}))
        tx.execute(sa.insert(volumes).values(common | {"id": str(uuid.uuid4()), "pool_id": "here@files#files", "image_metadata": {}}))

    def read(tx: Tx) -> tuple[Any, int]:
        counting = Counting(tx)
        return rules.handles(counting, "here@files"), counting.statements  # type: ignore[arg-type]

    store.run("fill", fill)
    handles, statements = store.read("handles", read)
    assert sorted(handles, key=str) == [{"of": "here@files#files"}, {"snapshot of": "here@files#files"}]
    assert statements == 1

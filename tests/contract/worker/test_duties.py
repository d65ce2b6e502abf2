"""What workers do by the clock, by role."""

import dataclasses
from pathlib import Path

import pytest
import sqlalchemy as sa

from breezeblock.config import WorkerSettings
from breezeblock.resources.volumes import create
from breezeblock.store.tables.protocol import events, jobs
from breezeblock.worker.duties import duties, purge
from breezeblock.worker.loop import Surroundings
from tests.support.world import World


def nothing(_: object) -> None: ...


def names(around: Surroundings) -> list[str]:
    return [duty.name for duty in duties(around, nothing, nothing)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_does_what(database: str, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    assert names(world.around) == ["rescue", "report fake", "collect fake", "exports fake"]
    assert names(dataclasses.replace(world.around, backends={})) == ["rescue", "purge"]
    world.store.dispose()


def test_finished_work_is_kept_as_long_as_configured(database: str, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    world.ask(create, {"size": 1})
    world.settle()
    purge(world.around)
    assert len(world.all(jobs)) == 1
    assert world.all(events) != []
    world.store.run("age", lambda tx: tx.execute(sa.update(jobs).values(ended_at=sa.null())))
    shorter = dataclasses.replace(world.settings, worker=WorkerSettings(purge_after=-60))
    purge(dataclasses.replace(world.around, settings=shorter))
    assert len(world.all(jobs)) == 1, "a job without an end is unfinished"
    world.store.run("age", lambda tx: tx.execute(sa.update(jobs).values(ended_at=jobs.c.created_at)))
    purge(dataclasses.replace(world.around, settings=shorter))
    assert world.all(jobs) == []
    world.store.dispose()

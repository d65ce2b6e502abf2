"""A world for each test, on a fresh database that is copied from a migrated one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkers.everything import Watch
from tests.support.world import World


@pytest.fixture
def world(database: str, tmp_path: Path) -> Iterator[World]:
    """A deployment on ``database``."""
    world = World(database, tmp_path, migrated=True)
    yield world
    world.store.dispose()


@pytest.fixture
def watch(world: World) -> Watch:
    """The invariants of ``world``."""
    return Watch(world.store, world.registry, world.driver)

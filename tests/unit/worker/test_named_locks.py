"""The lock service that a driver gets: its backend's own, and no dearer than it is used."""

from pathlib import Path

import pytest

from breezeblock.config import CoordinationSettings
from breezeblock.core.locks import Locks
from breezeblock.drivers.interface import DriverContext, NoLocks
from breezeblock.errors import BadConfiguration
from breezeblock.worker.named_locks import open_locks
from tests.support.live_images import NothingLive


def test_local_locks_are_made_when_asked_for(tmp_path: Path) -> None:
    locks = open_locks(CoordinationSettings(backend_url=f"file://{tmp_path}/locks"), "me")
    assert not locks.distributed
    assert list(tmp_path.iterdir()) == []
    with locks.lock("a", timeout=1):
        assert (tmp_path / "locks" / "lock-a").exists()


def test_another_service_is_checked_at_once() -> None:
    with pytest.raises(BadConfiguration, match="no driver for 'gopher'"):
        open_locks(CoordinationSettings(backend_url="gopher://there"), "me")
    locks = open_locks(CoordinationSettings(backend_url="redis://127.0.0.1:1"), "me")
    assert isinstance(locks, Locks)
    assert locks.distributed


def test_a_driver_without_a_lock_service_is_told() -> None:
    context = DriverContext("one", {}, NothingLive())
    assert isinstance(context.locks, NoLocks)
    with pytest.raises(BadConfiguration, match="asked for the locks a, b"):
        context.locks.lock("a", "b", timeout=1)

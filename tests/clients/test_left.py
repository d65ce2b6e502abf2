"""What the clients have deleted leaves nothing behind: no file, no daemon, nothing counted."""

from pathlib import Path
from typing import Any

from tests.support.clients import Cinder
from tests.support.disk import Disk
from tests.support.live import left_behind
from tests.support.service import Service, await_

COLLECTED = 45
"""Seconds in which the collector must have removed what nobody needs any more: twice its period, and some."""


def test_nothing_is_left(live: Service, cinder: Cinder, cloud: Any, disk: Disk) -> None:
    assert cinder.volumes.list() == cinder.volume_snapshots.list() == cinder.attachments.list() == []
    usage = cinder.quotas.get("demo", usage=True)
    assert {name: getattr(usage, name)["in_use"] for name in ("volumes", "snapshots", "gigabytes")} == dict.fromkeys(
        ("volumes", "snapshots", "gigabytes"), 0
    )
    assert {pool.provisioned_capacity_gb for pool in cinder.pools.list(detailed=True)} == {0}
    assert left_behind(live.state) == []
    await_(lambda: files(live.state) == [], COLLECTED, lambda: str(files(live.state)))


def files(state: Path) -> list[Path]:
    """The images that are left."""
    return sorted(path for path in (state / "volumes").glob("*/*") if path.is_file())

"""Snapshots and clones cost nothing whatever the size: told by allocated blocks and shared extents, not by a clock."""

import subprocess
import uuid
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.conformance import Subject, World
from breezeblock.drivers.file import FileDriver
from breezeblock.drivers.interface import DriverContext, Handle, VolumeSpec
from tests.support.file_backend import file_driver
from tests.support.live_images import NothingLive

MIB = 1 << 20
DATA_MIB = 24


def occupied(path: Path) -> int:
    return path.stat().st_blocks * 512


def world_of(path: Path) -> World:
    return World(Subject(lambda: file_driver(path)))


def with_data(world: World) -> Handle:
    """10 GiB, of which a few MiB lie at both ends."""
    row = world.volume(10)
    half = DATA_MIB * MIB // 2
    world.subject.data.fill(world.driver, row.published, [(offset, half, 0x5C) for offset in (0, (10 << 30) - half)])
    row.bytes.clear()
    return row.published


def shared_extents(path: Path) -> tuple[int, int]:
    """How many extents the file has, and how many of them it shares."""
    said = subprocess.run(["filefrag", "-v", str(path)], capture_output=True, text=True, check=True, timeout=30).stdout
    extents = [line for line in said.splitlines() if line.strip()[:1].isdigit() and ":" in line]
    return len(extents), sum("shared" in line for line in extents)


@pytest.fixture
def raw_world(xfs: Path) -> World:
    return world_of(xfs / str(uuid.uuid4()))


def used(path: Path) -> int:
    """Bytes that the filesystem has given away."""
    subprocess.run(["sync", "-f", str(path)], check=True, timeout=60)
    free_gib = file_driver(path).pools()[0].free_gib
    return -int(free_gib * (1 << 30))


def test_reflinks_share_every_extent(raw_world: World, xfs: Path) -> None:
    handle = with_data(raw_world)
    (volume,) = raw_world.volumes.values()
    original = Path(raw_world.driver.image(handle).path)
    before = used(original.parent)
    snapshot = raw_world.snapshot(volume)
    copy = raw_world.restored(snapshot)
    assert used(original.parent) - before < MIB
    for each in (snapshot, copy):
        extents, shared = shared_extents(Path(raw_world.driver.image(each.published).path))
        assert extents == shared > 0


def test_raw_files_are_sparse(raw_world: World) -> None:
    handle = with_data(raw_world)
    assert raw_world.driver.image(handle).format == "raw"
    assert occupied(Path(raw_world.driver.image(handle).path)) < (DATA_MIB + 2) * MIB


def test_shared_extents_count_once(raw_world: World) -> None:
    with_data(raw_world)
    (volume,) = raw_world.volumes.values()
    for _ in range(20):
        raw_world.snapshot(volume)
    (pool,) = raw_world.driver.pools()
    assert pool.allocated_gib <= pool.total_gib - pool.free_gib


def test_overlays_hold_no_data(ext4: Path) -> None:
    world = world_of(ext4 / str(uuid.uuid4()))
    handle = with_data(world)
    (volume,) = world.volumes.values()
    assert world.driver.image(handle).format == "qcow2"
    base = Path(world.driver.image(handle).path)
    frozen = (base.stat().st_ino, base.stat().st_mtime_ns, occupied(base))
    snapshot = world.snapshot(volume)
    world.restored(snapshot)
    assert (base.stat().st_ino, base.stat().st_mtime_ns, occupied(base)) == frozen
    for found in base.parent.iterdir():
        if found.is_file() and found != base:
            assert occupied(found) <= 16384


def test_both_formats_side_by_side(xfs: Path) -> None:
    """A handle says what its object is: volumes of the other format stay whole after the option changed."""
    path = xfs / str(uuid.uuid4())
    world = World(Subject(lambda: file_driver(path, file_format="qcow2")))
    old = world.volume()
    world.snapshot(old)
    world.driver = file_driver(path, file_format="auto")
    new = world.volume()
    world.snapshot(new)
    assert {row.published["format"] for row in world.volumes.values()} == {"qcow2", "raw"}
    world.check()
    world.collect()
    world.check()


def test_raw_volumes_on_a_filesystem_that_cannot_share_say_so(ext4: Path) -> None:
    """A backend's directory was copied to another filesystem: volumes work, their snapshots fail cleanly."""
    path = ext4 / str(uuid.uuid4())
    world = world_of(path)
    new = world.unborn()
    job = world.start(new.id)
    driver = FileDriver(DriverContext("files", {"file_path": str(path)}, NothingLive()))
    handle = driver._kinds["raw"].create(job.call(), VolumeSpec(new.id, 1)).handle()
    clone = world.unborn()
    other = world.start(new.id, clone.id)
    with pytest.raises(errors.DriverError, match="not supported"):
        driver.clone(other.call(), new.id, handle, VolumeSpec(clone.id, 1))
    assert len([found for found in driver.objects() if not found.name.startswith(".")]) == 1

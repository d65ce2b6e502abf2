"""Snapshots and extends of volumes that a daemon has open, and callers that die in the middle of them.

After any death the bytes must be where the next reader looks: the daemon, a daemon started later,
the job's second run, another job, and the collector.
"""

import uuid
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.conformance import Subject, World
from breezeblock.drivers.conformance.world import GIB, Job, Resource
from breezeblock.drivers.interface import SnapshotSpec, SourceAndNew, Token, VolumeSpec
from tests.support.file_backend import file_driver
from tests.support.live_images import Daemons, Died


@pytest.fixture
def daemons() -> Daemons:
    return Daemons()


@pytest.fixture
def world(ext4: Path, daemons: Daemons) -> World:
    path = ext4 / str(uuid.uuid4())
    return World(Subject(lambda: file_driver(path, daemons, file_chain_limit=3)))


@pytest.fixture
def volume(world: World, daemons: Daemons) -> Resource:
    row = world.volume()
    daemons.start(row.id, world.driver.image(row.published))
    return row


def write(daemons: Daemons, volume: Resource, offset: int, byte: int) -> None:
    daemons.fill(volume.id, offset, byte)
    volume.bytes[offset] = byte


def take(world: World, job: Job, epoch: int, volume: Resource, snapshot: Resource) -> SourceAndNew:
    spec = SnapshotSpec(snapshot.id, volume.id, snapshot.size_gib)
    return world.subject.build().snapshot(job.call(epoch), volume.published, spec)


def die_while_taking(world: World, daemons: Daemons, volume: Resource, moment: str) -> tuple[Job, Resource]:
    """A snapshot whose first caller dies, before or after the daemon has switched."""
    snapshot = world.unborn_snapshot(volume)
    job = world.start(volume.id, snapshot.id)
    daemons.dies = moment
    with pytest.raises(Died):
        take(world, job, 1, volume, snapshot)
    daemons.dies = ""
    return job, snapshot


def test_a_snapshot_of_an_open_volume(world: World, daemons: Daemons, volume: Resource) -> None:
    write(daemons, volume, 0, 0x41)
    snapshot = world.snapshot(volume)
    assert daemons.open[volume.id] == world.driver.image(volume.published).path
    write(daemons, volume, 0, 0x42)
    world.check()
    assert snapshot.bytes[0] == 0x41
    world.collect()
    world.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_second_run_ends_what_the_first_began(world: World, daemons: Daemons, volume: Resource, moment: str) -> None:
    job, snapshot = die_while_taking(world, daemons, volume, moment)
    first = daemons.open[volume.id]
    left = take(world, job, 2, volume, snapshot)
    volume.handle, snapshot.handle = left.source, left.new
    world.end(job)
    assert len(daemons.switches) == 1
    assert moment == "before" or first == daemons.open[volume.id]
    assert daemons.open[volume.id] == world.driver.image(volume.published).path
    write(daemons, volume, 0, 0x43)
    world.check()
    world.collect()
    world.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_was_written_in_between_is_kept(world: World, daemons: Daemons, volume: Resource, moment: str) -> None:
    """The guest writes on between the death and the second run: into the snapshot before the switch, beside it after."""
    job, snapshot = die_while_taking(world, daemons, volume, moment)
    write(daemons, volume, 0, 0x44)
    if moment == "before":
        snapshot.bytes[0] = 0x44
    left = take(world, job, 2, volume, snapshot)
    volume.handle, snapshot.handle = left.source, left.new
    world.end(job)
    world.check()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_job_that_never_comes_back_costs_no_byte(world: World, daemons: Daemons, volume: Resource, moment: str, restarted: bool) -> None:
    """The database still knows the old top file, and knows no snapshot."""
    job, snapshot = die_while_taking(world, daemons, volume, moment)
    world.forget(snapshot)
    world.end(job)
    write(daemons, volume, 0, 0x45)
    world.collect()
    if restarted:
        daemons.stop(volume.id)
        daemons.start(volume.id, world.driver.image(volume.published))
        write(daemons, volume, 4096, 0x46)
    world.snapshot(volume)
    write(daemons, volume, 8192, 0x47)
    daemons.stop(volume.id)
    world.check()
    world.collect()
    world.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_extend_after_it_grows_the_layer_that_is_open(world: World, daemons: Daemons, volume: Resource, moment: str) -> None:
    job, snapshot = die_while_taking(world, daemons, volume, moment)
    world.forget(snapshot)
    world.end(job)
    write(daemons, volume, 0, 0x48)
    job = world.start(volume.id)
    volume.handle, volume.size_gib = world.driver.extend(job.call(), volume.id, volume.published, 2), 2
    world.end(job)
    write(daemons, volume, 2 * GIB - 4096, 0x49)
    world.collect()
    world.check()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_delete_after_it_leaves_nothing(world: World, daemons: Daemons, volume: Resource, moment: str) -> None:
    job, snapshot = die_while_taking(world, daemons, volume, moment)
    world.forget(snapshot)
    world.end(job)
    daemons.stop(volume.id)
    job = world.start(volume.id)
    world.driver.delete(job.call(), volume.id, volume.handle)
    world.forget(volume)
    world.end(job)
    assert all(name.startswith(".fence/") for name in world.unneeded())
    world.collect()
    assert list(world.driver.objects()) == []


def test_the_failed_snapshots_delete_takes_nothing_from_the_volume(ext4: Path) -> None:
    """A flattened base is named after the snapshot, but it is the volume's bytes that are in it."""
    path = ext4 / str(uuid.uuid4())
    world = World(Subject(lambda: file_driver(path, file_chain_limit=1)))
    volume = world.volume()
    world.snapshot(volume)
    snapshot = world.unborn_snapshot(volume)
    job = world.start(volume.id, snapshot.id)
    take(world, job, 1, volume, snapshot)
    world.end(job)
    job = world.start(snapshot.id)
    world.driver.delete_snapshot(job.call(), snapshot.id, None)
    world.end(job)
    world.forget(snapshot)
    world.collect()
    world.check()


def test_a_zombie_cannot_switch_a_daemon(world: World, daemons: Daemons, volume: Resource) -> None:
    """An older job's snapshot, cancelled before it began, wakes after a newer job's."""
    late = world.unborn_snapshot(volume)
    zombie = world.start(volume.id, late.id)
    old = volume.published
    world.snapshot(volume)
    world.forget(late)
    write(daemons, volume, 0, 0x4A)
    now_open = daemons.open[volume.id]
    with pytest.raises(errors.Fenced):
        world.driver.snapshot(zombie.call(9), old, SnapshotSpec(late.id, volume.id, 1))
    world.end(zombie)
    assert daemons.open[volume.id] == now_open
    world.collect()
    world.check()


def test_a_clone_of_an_open_volume(world: World, daemons: Daemons, volume: Resource) -> None:
    write(daemons, volume, 0, 0x4B)
    new = world.unborn(2)
    new.bytes = dict(volume.bytes)
    job = world.start(volume.id, new.id)
    left = world.driver.clone(job.call(), volume.id, volume.published, VolumeSpec(new.id, 2))
    volume.handle, new.handle = left.source, left.new
    world.end(job)
    write(daemons, volume, 0, 0x4C)
    world.check()


def test_an_open_volume_is_not_flattened_and_not_reverted(world: World, daemons: Daemons, volume: Resource) -> None:
    snapshots = [world.snapshot(volume) for _ in range(5)]
    assert len(volume.published["files"]) == 6
    job = world.start(volume.id)
    with pytest.raises(errors.ObjectBusy, match="detached"):
        world.driver.revert(job.call(), volume.id, volume.published, snapshots[0].published, 1)
    world.end(job)
    daemons.stop(volume.id)
    world.snapshot(volume)
    assert len(volume.published["files"]) == 2
    world.check()
    world.collect()
    world.check()


def test_an_open_volume_gets_only_so_many_layers(ext4: Path, daemons: Daemons) -> None:
    path = ext4 / str(uuid.uuid4())
    world = World(Subject(lambda: file_driver(path, daemons, file_chain_limit=32)))
    volume = world.volume()
    daemons.start(volume.id, world.driver.image(volume.published))
    for _ in range(39):
        world.snapshot(volume)
    refused = world.unborn_snapshot(volume)
    job = world.start(volume.id, refused.id)
    with pytest.raises(errors.DriverError, match="Detach it"):
        take(world, job, 1, volume, refused)
    world.end(job)
    daemons.stop(volume.id)
    left = take(world, job, 2, volume, refused)
    volume.handle, refused.handle = left.source, left.new
    assert len(volume.published["files"]) == 2
    assert world.wrong() == []


def test_a_volume_open_on_another_host_is_left_alone(ext4: Path) -> None:
    """No daemon of this host has it, and the export lock is somebody else's."""

    class Elsewhere(Daemons):
        def running(self, volume_id: str, token: Token | None = None) -> bool:
            return False

    daemons = Elsewhere()
    path = ext4 / str(uuid.uuid4())
    world = World(Subject(lambda: file_driver(path, daemons)))
    volume = world.volume()
    daemons.start(volume.id, world.driver.image(volume.published))
    snapshot = world.unborn_snapshot(volume)
    job = world.start(volume.id, snapshot.id)
    with pytest.raises(errors.ObjectBusy):
        take(world, job, 1, volume, snapshot)
    with pytest.raises(errors.ObjectBusy):
        world.driver.extend(job.call(), volume.id, volume.published, 2)
    world.end(job)
    world.forget(snapshot)
    assert [name for name in world.unneeded() if not name.startswith(".fence")] == []
    world.check()

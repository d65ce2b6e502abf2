"""One scenario for each method that changes a backend: what stands before it, the call, and what its finish publishes."""

import dataclasses
from collections.abc import Callable
from typing import Any

from breezeblock.drivers.conformance.world import Job, Resource, World
from breezeblock.drivers.interface import Call, SnapshotSpec, VolumeDriver, VolumeSpec

Perform = Callable[[VolumeDriver, Call], Any]
Publish = Callable[[Any], None]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A call that is about to be made, by any number of holders of one job."""

    job: Job
    perform: Perform
    publish: Publish


Scenario = Callable[[World], Prepared]


def create(world: World) -> Prepared:
    """An empty volume."""
    new = world.unborn(1)
    new.bytes = {0: 0}

    def publish(handle: Any) -> None:
        new.handle = handle

    return Prepared(world.start(new.id), lambda driver, call: driver.create(call, VolumeSpec(new.id, new.size_gib)), publish)


def create_from_snapshot(world: World) -> Prepared:
    """A larger volume from a snapshot whose volume went on."""
    volume = world.volume()
    snapshot = world.snapshot(volume)
    world.write(volume, {0: 0x55})
    new = world.unborn(2)
    new.bytes = dict(snapshot.bytes)
    base = snapshot.published

    def publish(handle: Any) -> None:
        new.handle = handle

    return Prepared(
        world.start(new.id), lambda driver, call: driver.create_from_snapshot(call, base, VolumeSpec(new.id, new.size_gib)), publish
    )


def clone(world: World) -> Prepared:
    """A larger volume from a volume."""
    source = world.volume()
    new = world.unborn(2)
    new.bytes = dict(source.bytes)
    base = source.published

    def publish(left: Any) -> None:
        source.handle, new.handle = left.source, left.new

    return Prepared(
        world.start(source.id, new.id), lambda driver, call: driver.clone(call, source.id, base, VolumeSpec(new.id, new.size_gib)), publish
    )


def delete(world: World) -> Prepared:
    """A volume upon whose bytes a clone was made."""
    volume = world.volume()
    world.restored(_without_snapshot(world, volume))
    base = volume.published
    return Prepared(world.start(volume.id), lambda driver, call: driver.delete(call, volume.id, base), lambda _: world.forget(volume))


def extend(world: World) -> Prepared:
    """A volume that grows by a GiB."""
    volume = world.volume()
    base = volume.published

    def publish(handle: Any) -> None:
        volume.handle, volume.size_gib = handle, 2

    return Prepared(world.start(volume.id), lambda driver, call: driver.extend(call, volume.id, base, 2), publish)


def snapshot(world: World) -> Prepared:
    """A second snapshot of a volume that was written to after its first."""
    volume = world.volume()
    world.snapshot(volume)
    world.write(volume, {0: 0x66})
    new = world.unborn_snapshot(volume)
    base = volume.published

    def publish(left: Any) -> None:
        volume.handle, new.handle = left.source, left.new

    spec = SnapshotSpec(new.id, volume.id, volume.size_gib)
    return Prepared(world.start(volume.id, new.id), lambda driver, call: driver.snapshot(call, base, spec), publish)


def delete_snapshot(world: World) -> Prepared:
    """A snapshot whose volume and restored copy stay."""
    volume = world.volume()
    doomed = world.snapshot(volume)
    world.restored(doomed)
    base = doomed.published
    return Prepared(
        world.start(doomed.id), lambda driver, call: driver.delete_snapshot(call, doomed.id, base), lambda _: world.forget(doomed)
    )


def revert(world: World) -> Prepared:
    """A volume goes back to what its snapshot has."""
    volume = world.volume()
    taken = world.snapshot(volume)
    world.write(volume, {0: 0x77})
    base, target = volume.published, taken.published

    def publish(handle: Any) -> None:
        volume.handle, volume.bytes = handle, dict(taken.bytes)

    return Prepared(world.start(volume.id), lambda driver, call: driver.revert(call, volume.id, base, target, volume.size_gib), publish)


def _without_snapshot(world: World, volume: Resource) -> Resource:
    """A snapshot whose row is gone already, while a copy of it may still need its bytes."""
    taken = world.snapshot(volume)
    world.snapshots.pop(taken.id)
    return taken


SCENARIOS: dict[str, Scenario] = {
    "create": create,
    "create_from_snapshot": create_from_snapshot,
    "clone": clone,
    "delete": delete,
    "extend": extend,
    "snapshot": snapshot,
    "delete_snapshot": delete_snapshot,
    "revert": revert,
}
"""By the method's name. ``remove`` is what the collector does in every test."""

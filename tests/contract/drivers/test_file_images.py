"""qcow2 files held against QEMU's own tools: headers, chains, flattening, and a directory that moved."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from breezeblock import errors
from breezeblock.drivers.conformance import Subject, World
from breezeblock.drivers.file import FileDriver, qcow2
from breezeblock.drivers.file.directory import GIB, Directory
from breezeblock.drivers.interface import VolumeSpec
from tests.support.file_backend import file_driver
from tests.support.filesystems import fill, mounted

JOB = str(uuid.uuid4())
FEATURE_NAMES = (0x70, 0x70 + 8 + 0x180)


def info(path: Path) -> dict[str, Any]:
    argv = ["qemu-img", "info", "-f", "qcow2", "--output=json", str(path)]
    said = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=30).stdout)
    return {key: value for key, value in said.items() if key not in ("filename", "actual-size", "full-backing-filename")}


def check(path: Path) -> None:
    """No error and no leaked cluster."""
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(path)], check=True, timeout=30)


@pytest.fixture
def world(ext4: Path) -> World:
    path = ext4 / str(uuid.uuid4())
    return World(Subject(lambda: file_driver(path, file_chain_limit=4)))


def folder(world: World) -> Path:
    assert isinstance(world.driver, FileDriver)
    return world.driver._directory.path


def test_an_image_is_what_qemu_would_have_made(tmp_path: Path) -> None:
    """Every size class of the first table; the same metadata but for QEMU's optional table of feature names."""
    directory = Directory(tmp_path)
    for size_gib in (1, 3, 10, 100, 4096, 4097, 16384):
        ours, theirs = f"{uuid.uuid4()}.{JOB}.e1", tmp_path / f"{size_gib}.qcow2"
        qcow2.create(directory, ours, size_gib * GIB)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(theirs), f"{size_gib}G"], check=True, timeout=30)
        assert info(tmp_path / ours) == info(theirs)
        check(tmp_path / ours)
        made, reference = (tmp_path / ours).read_bytes(), bytearray(theirs.read_bytes())
        reference[FEATURE_NAMES[0] : FEATURE_NAMES[1]] = bytes(FEATURE_NAMES[1] - FEATURE_NAMES[0])
        assert made.rstrip(b"\0") == bytes(reference).rstrip(b"\0")


def test_an_overlay_is_what_qemu_would_have_made(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    base, ours, theirs = f"{uuid.uuid4()}.{JOB}.e1", f"{uuid.uuid4()}.{JOB}.e1", tmp_path / "theirs"
    qcow2.create(directory, base, GIB)
    qcow2.create(directory, ours, 2 * GIB, base)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, str(theirs), "2G"], check=True, timeout=30)
    assert info(tmp_path / ours) == info(theirs)
    check(tmp_path / ours)


def test_every_image_of_a_long_life_checks(world: World) -> None:
    volume = world.volume()
    for round_ in range(3):
        world.write(volume, {16384 * round_: 0x30 + round_})
        world.restored(world.snapshot(volume))
    world.check()
    for found in world.driver.objects():
        if not found.name.startswith("."):
            check(folder(world) / found.name)


def test_what_is_referenced_is_what_the_headers_say(world: World) -> None:
    """The handles alone name every file that opening a volume touches; the headers are the truth."""
    volume = world.volume()
    for _ in range(7):
        world.restored(world.snapshot(volume), 2)
    world.collect()
    real: set[str] = set()
    for handle in world.handles():
        name: str | None = handle["files"][0]
        chain = []
        while name is not None:
            chain.append(name)
            name = qcow2.backing_name(folder(world) / name)
        assert chain == list(handle["files"])
        real.update(chain)
    assert {name for name in world.driver.referenced(world.handles()) if not name.startswith(".")} == real
    assert {found.name for found in world.driver.objects() if not found.name.startswith(".")} == real


def test_the_directory_can_move(world: World, ext4: Path) -> None:
    volume = world.volume()
    world.snapshot(volume)
    moved = ext4 / str(uuid.uuid4())
    folder(world).rename(moved)
    world.driver = file_driver(moved)
    assert world.wrong() == []
    world.check()


def test_a_deep_chain_is_merged_and_only_data_are_copied(world: World) -> None:
    volume = world.volume()
    depths = []
    for _ in range(8):
        world.snapshot(volume)
        depths.append(len(volume.published["files"]))
    assert max(depths) == 5
    assert depths[-4:] == [2, 3, 4, 5]
    flat = next(name for name in volume.published["files"] if qcow2.backing_name(folder(world) / name) is None)
    assert (folder(world) / flat).stat().st_blocks * 512 < 1 << 20
    world.check()
    world.collect()
    world.check()


@pytest.mark.parametrize("method", ["clone", "extend", "revert", "create_from_snapshot"])
def test_each_method_merges_a_deep_chain(world: World, method: str) -> None:
    volume = world.volume()
    snapshots = [world.snapshot(volume) for _ in range(4)]
    deep = file_driver(folder(world), file_chain_limit=2)
    new = world.unborn(2)
    job = world.start(volume.id, new.id)
    call, handle, last = job.call(), volume.published, snapshots[-1]
    match method:
        case "clone":
            left = deep.clone(call, volume.id, handle, VolumeSpec(new.id, 2))
            volume.handle, new.handle, new.bytes = left.source, left.new, dict(volume.bytes)
            assert len(new.handle["files"]) == 1
        case "extend":
            volume.handle, volume.size_gib = deep.extend(call, volume.id, handle, 2), 2
            assert len(volume.handle["files"]) == 1
        case "revert":
            volume.handle, volume.bytes = deep.revert(call, volume.id, handle, last.published, 1), dict(last.bytes)
            assert len(volume.handle["files"]) == 1
        case _:
            new.handle, new.bytes = deep.create_from_snapshot(call, last.published, VolumeSpec(new.id, 2)), dict(last.bytes)
            assert len(new.handle["files"]) == 1
    world.end(job)
    world.check()
    world.collect()
    world.check()


def test_merging_without_space_leaves_nothing(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, 32) as point:
        world = World(Subject(lambda: file_driver(point / "volumes", file_chain_limit=1)))
        volume = world.volume()
        snapshot = world.snapshot(volume)
        clusters = [(page << 16, 1 << 16, 0x5A) for page in range(1, 65)]
        world.subject.data.fill(world.driver, volume.published, clusters)
        world.snapshots.pop(snapshot.id)
        fill(point)
        (point / "filler").open("r+b").truncate((point / "filler").stat().st_size - (1 << 20))
        before = sorted(found.name for found in world.driver.objects())
        new = world.unborn_snapshot(volume)
        job = world.start(volume.id, new.id)
        with pytest.raises(errors.NoSpace):
            world.driver.clone(job.call(), volume.id, volume.published, VolumeSpec(new.id, 1))
        assert sorted(found.name for found in world.driver.objects()) == before
        assert world.wrong() == []


def test_creating_without_space_leaves_nothing(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, 16) as point:
        driver = file_driver(point / "volumes")
        fill(point)
        world = World(Subject(lambda: driver))
        new = world.unborn()
        with pytest.raises(errors.NoSpace):
            driver.create(world.start(new.id).call(), VolumeSpec(new.id, 1))
        assert list(driver.objects()) == []

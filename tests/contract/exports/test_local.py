"""A volume as a block device of its host: the daemon's FUSE export and a loop device, with real filesystems on it."""

import hashlib
import mmap
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.interface import Image
from breezeblock.exports import local
from breezeblock.exports.graph import Service
from breezeblock.exports.values import ExportRow
from tests.support.exports import MIB, Host, call, clean_local

LARGE = 320 * MIB
"""The smallest that mkfs.xfs takes is 300 MiB."""


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def exported(host: Host, volume: str, image: Image, **options: bool) -> str:
    host.exports().ensure(call(volume), volume, lambda: image, protocols=["local"], **options)
    info = host.exports().connect_info(volume, "local", **options)
    assert info["driver_volume_type"] == "local"
    path: str = info["data"]["device_path"]
    return path


@contextmanager
def mounted(device: str, point: Path) -> Iterator[Path]:
    point.mkdir(exist_ok=True)
    run("mount", device, str(point))
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=False)


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_filesystem_survives_detach_attach_and_the_daemon(host: Host, tmp_path: Path, filesystem: str) -> None:
    volume, image = host.volume(LARGE)
    path = exported(host, volume, image)
    device = local.attach(path)
    assert local.attach(path) == device
    assert run("blockdev", "--getsize64", device) == str(LARGE)
    run(f"mkfs.{filesystem}", "-q", device)
    data = os.urandom(3 * MIB)
    with mounted(device, tmp_path / "mnt") as point:
        (point / "data").write_bytes(data)
        for refused in (lambda: local.detach(path), lambda: host.exports().remove(call(volume, 3), volume)):
            with pytest.raises(errors.ObjectBusy, match="mounted"):
                refused()
    local.detach(path)
    local.detach(path)
    assert local.attached(path) == []
    with mounted(local.attach(path), tmp_path / "mnt") as point:
        assert (point / "data").read_bytes() == data

    # The end of the export takes the loop device along, and nothing is left.
    host.exports().remove(call(volume, 4), volume)
    assert local.attached(path) == []
    assert not Path(path).exists()
    path = exported_again(host, volume, image, 5)
    with mounted(local.attach(path), tmp_path / "mnt") as point:
        assert hashlib.sha256((point / "data").read_bytes()).digest() == hashlib.sha256(data).digest()


def exported_again(host: Host, volume: str, image: Image, generation: int) -> str:
    host.exports().ensure(call(volume, generation), volume, lambda: image, protocols=["local"])
    path: str = host.exports().connect_info(volume, "local")["data"]["device_path"]
    return path


def test_growth_is_seen_by_a_mounted_device_at_once(host: Host, tmp_path: Path) -> None:
    volume, image = host.volume(LARGE)
    path = exported(host, volume, image)
    device = local.attach(path)
    run("mkfs.xfs", "-q", device)
    with mounted(device, tmp_path / "mnt") as point:
        over = threading.Event()
        problems: list[BaseException] = []

        def verified_io() -> None:
            try:
                while not over.is_set():
                    data = os.urandom(256 * 1024)
                    descriptor = os.open(point / "busy", os.O_RDWR | os.O_CREAT)
                    os.pwrite(descriptor, data, 0)
                    os.fsync(descriptor)
                    assert os.pread(descriptor, len(data), 0) == data
                    os.close(descriptor)
            except BaseException as problem:  # noqa: BLE001 (told to the test's own thread)
                problems.append(problem)

        thread = threading.Thread(target=verified_io)
        thread.start()
        try:
            host.live.resize(volume, LARGE + 100 * MIB)
            assert run("blockdev", "--getsize64", device) == str(LARGE + 100 * MIB)
            before = os.statvfs(point).f_blocks
            run("xfs_growfs", str(point))
            assert os.statvfs(point).f_blocks > before
        finally:
            over.set()
            thread.join(20)
        assert not problems, problems
        overlay = host.overlay(type(image)(image.path, image.format, LARGE + 100 * MIB), "overlay")
        host.live.switch_to_overlay(volume, overlay)
        (point / "after").write_bytes(b"written above the frozen layer")
    local.detach(path)
    with mounted(local.attach(path), tmp_path / "mnt") as point:
        assert (point / "after").read_bytes() == b"written above the frozen layer"
    local.detach(path)


def test_a_read_only_device_refuses_writes_and_stands_beside_nbd(host: Host) -> None:
    volume, image = host.volume()
    host.exports().ensure(call(volume), volume, lambda: image)
    path = exported(host, volume, image, read_only=True)
    device = local.attach(path, read_only=True)
    assert run("blockdev", "--getro", device) == "1"
    for target in (device, path):
        with pytest.raises(OSError, match=r"denied|not permitted|Read-only"), Path(target).open("r+b", buffering=0) as file:
            file.write(bytes(512))
    run("qemu-io", "-f", "raw", "-c", "write -P 5 0 64k", host.exports().connect_info(volume)["data"]["uri"])
    run("blockdev", "--flushbufs", device)
    assert Path(device).read_bytes()[:65536] == bytes([5]) * 65536
    local.detach(path)


def test_a_writable_device_and_nbd_exclude_each_other_with_the_reason(host: Host) -> None:
    volume, image = host.volume()
    exports = host.exports()
    exports.ensure(call(volume), volume, lambda: image, protocols=["local"])
    for read_only in (False, True):
        with pytest.raises(errors.ObjectBusy, match="at once"):
            exports.ensure(call(volume, 3), volume, lambda: image, read_only=read_only)
    assert exports.withdraw(call(volume, 4), volume, "local") is None
    exports.ensure(call(volume, 5), volume, lambda: image)
    with pytest.raises(errors.ObjectBusy, match="at once"):
        exports.ensure(call(volume, 6), volume, lambda: image, protocols=["local"])
    assert exports.list()[0].services == (Service.NBD_RW.value,)
    with pytest.raises(errors.Invalid):
        exports.ensure(call(volume, 7), volume, lambda: image, protocols=["smoke-signals"])


def test_what_a_dead_daemon_left_is_found_and_replaced(host: Host, tmp_path: Path) -> None:
    volume, image = host.volume()
    path = exported(host, volume, image)
    device = local.attach(path)
    run("mkfs.ext4", "-q", device)
    with mounted(device, tmp_path / "mnt") as point:
        (point / "data").write_bytes(b"kept")
    os.sync()
    parameters = {"version": 1, "services": ["local-rw"], "address": None}
    host.kill_all()
    with pytest.raises(errors.ObjectMissing):
        local.attach(path)
    row = ExportRow(volume, "host-a", host.boot_id, 2, parameters, lambda: image)
    assert host.exports().rebuild([row]) == {}
    fresh = local.attach(path)
    assert local.attached(path) == [fresh]
    with mounted(fresh, tmp_path / "mnt") as point:
        assert (point / "data").read_bytes() == b"kept"
    local.detach(path)
    clean_local(Path(path))


def write_in_parallel(target: str, seconds: float) -> int:
    """Verified direct writes by eight threads, each in a region of its own; how many reads did not give what was written."""
    wrong: list[int] = []
    deadline = time.monotonic() + seconds

    def one(number: int) -> None:
        descriptor = os.open(target, os.O_RDWR | os.O_DIRECT)
        with mmap.mmap(-1, 256 * 1024) as out, mmap.mmap(-1, 256 * 1024) as back:
            while time.monotonic() < deadline:
                out[:] = os.urandom(64) * (len(out) // 64)
                os.pwritev(descriptor, [out], number * 4 * MIB)
                os.preadv(descriptor, [back], number * 4 * MIB)
                if out[:] != back[:]:
                    wrong.append(number)
        os.close(descriptor)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    return len(wrong)


def test_parallel_writes_to_the_device_keep_their_bytes(host: Host) -> None:
    volume, image = host.volume()
    path = exported(host, volume, image)
    device = local.attach(path)
    assert (Path("/sys/block") / Path(device).name / "loop" / "dio").read_text().strip() == "0"
    assert write_in_parallel(device, 1.0) == 0
    local.detach(path)


def test_a_program_that_uses_the_exported_file_itself_is_kept_to_one_request(host: Host, tmp_path: Path) -> None:
    volume, image = host.volume()
    run("mount", "-t", "fusectl", "none", str(tmp_path))
    try:
        path = exported(host, volume, image)
        local.one_at_a_time(Path(path), tmp_path)
        device = run("losetup", "--find", "--show", "--direct-io=on", path)
        assert write_in_parallel(device, 1.0) == 0
        run("losetup", "--detach", device)
    finally:
        run("umount", str(tmp_path))


def test_nothing_is_attached_where_nothing_is_exported(raw_host: Host, tmp_path: Path) -> None:
    with pytest.raises(errors.ObjectMissing):
        local.attach(str(tmp_path / "disk"))
    (tmp_path / "disk").write_bytes(bytes(4096))
    with pytest.raises(errors.ObjectMissing):
        local.attach(str(tmp_path / "disk"))
    local.detach(str(tmp_path / "disk"))

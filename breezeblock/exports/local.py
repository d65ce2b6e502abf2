"""Local block devices: a daemon's FUSE export of the volume, and a loop device on that file.

The export is made by :mod:`breezeblock.exports.manager`; :func:`attach` and :func:`detach` are the
client's half, for ``breezeblock attach`` and ``detach`` on the same host. They find what an earlier
run left, in whatever state, and repeating either is harmless. Needs root.

A loop device notices neither the end nor the restart of the daemon: it must be detached first, and is
stale when the daemon died.

A writable loop device must not use direct I/O. With more than one write request under way QEMU 7.2
writes parts of one with the bytes of another: its FUSE export has one buffer for all requests, and reads
the next one while it waits for a write (fixed in QEMU 10.1; docs/decisions/0010-local-exports.md has the
measurement). Buffered writes come one at a time, by the kernel's lock on the file.

Beside the mounted file stands a note of the loop device, because the kernel
forgets the name of a file whose filesystem is gone.
"""

import contextlib
import errno
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from breezeblock import errors
from breezeblock.exports.home import Home

_TOOL_SECONDS = 30.0
_GONE_SECONDS = 5.0
CONNECTIONS = Path("/sys/fs/fuse/connections")


class Loop(msgspec.Struct, frozen=True):
    """A loop device and the file that it reads, by that file's device number and inode."""

    device: str
    file_device: int
    file_inode: int


def connection(home: Home, size_bytes: int, host: str, *, read_only: bool) -> Mapping[str, Any]:
    """The connection information of the Block Storage API for a client on this host."""
    data = {
        "volume_id": home.volume_id,
        "device_path": str(home.device(read_only=read_only)),
        "access_mode": "ro" if read_only else "rw",
        "size_bytes": size_bytes,
        "host": host,
        "encrypted": False,
    }
    return {"driver_volume_type": "local", "data": data}


def attach(device_path: str, *, read_only: bool = False) -> str:
    """A loop device over the exported file ``device_path`` (of :func:`connection`), the one of an earlier call if it is sound.

    Raises ObjectMissing when nothing is exported there, ObjectBusy when a stale loop device is still mounted.
    """
    path = Path(device_path)
    mounted = _mounted(path)
    if mounted is None:
        raise errors.ObjectMissing(what=f"the local export {device_path}")
    for loop in _loops(path):
        if (loop.file_device, loop.file_inode) == (mounted.st_dev, mounted.st_ino):
            refresh(path)
            return loop.device
        _end(loop)
    device = _set_up(path, read_only=read_only)
    _note(path).write_bytes(msgspec.json.encode(Loop(device, mounted.st_dev, mounted.st_ino)))
    return device


def detach(device_path: str) -> None:
    """Write back and take away all loop devices of ``device_path``, stale ones too. Raises ObjectBusy while one is mounted or opened."""
    path = Path(device_path)
    for loop in _loops(path):
        _end(loop)
    _note(path).unlink(missing_ok=True)


def attached(device_path: str) -> list[str]:
    """The loop devices over ``device_path``."""
    return [loop.device for loop in _loops(Path(device_path))]


def refresh(path: Path) -> None:
    """Let the kernel and the loop devices over ``path`` see its present size, in that order."""
    _run("stat", "--cached=never", "--format=%s", str(path))
    for device in attached(str(path)):
        _run("losetup", "--set-capacity", device)


def one_at_a_time(device: Path, connections: Path = CONNECTIONS) -> None:
    """Let the kernel send asynchronous requests to an exported file one by one, where it can be told (fusectl is mounted).

    :func:`attach` needs no such help. It is for programs that open the file itself, with direct and asynchronous I/O.
    """
    limit = connections / str(os.minor(device.stat().st_dev)) / "max_background"
    with contextlib.suppress(FileNotFoundError):
        limit.write_text("1")


def prepare(home: Home, *, read_only: bool) -> None:
    """Make the file that an export is mounted on; takes away the mount of a daemon that died."""
    path = home.device(read_only=read_only)
    clear(home, read_only=read_only)
    path.touch(mode=0o600)


def clear(home: Home, *, read_only: bool) -> None:
    """Take away the file that an export was mounted on, with the mount of a daemon that died."""
    path = home.device(read_only=read_only)
    for _ in range(8):
        try:
            path.unlink(missing_ok=True)
            return
        except OSError as problem:
            if problem.errno not in (errno.EBUSY, errno.ENOTCONN):
                raise
        _run("umount", "--lazy", str(path))
    raise errors.ObjectBusy(what=str(path), reason="it is mounted again and again")


def release(home: Home, *, read_only: bool) -> None:
    """Before an export is removed: detach its loop devices. ObjectBusy while a filesystem on one is mounted."""
    detach(str(home.device(read_only=read_only)))


def _mounted(path: Path) -> os.stat_result | None:
    """The exported file's status, or None when no living daemon has mounted it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status if status.st_dev != path.parent.stat().st_dev else None


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".loop")


def _loops(path: Path) -> list[Loop]:
    """The loop devices whose file is ``path``, or was when the note was written."""
    noted = None
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
        noted = msgspec.json.decode(_note(path).read_bytes(), type=Loop)
    answer = _run("losetup", "--list", "--json", "--output", "NAME,BACK-FILE,BACK-INO,BACK-MAJ:MIN")
    rows = json.loads(answer)["loopdevices"] if answer.strip() else []
    return [loop for row in rows if (loop := _loop(row, path, noted)) is not None]


def _loop(row: Mapping[str, Any], path: Path, noted: Loop | None) -> Loop | None:
    """The loop device of one row, if it is over ``path``."""
    if row["back-maj:min"] is None or row["back-ino"] is None:
        # The file's filesystem is dead, and once its mount is taken away too, the file has no name but the root's.
        ours = noted is not None and noted.device == row["name"] and row["back-file"] in {str(path), "/"}
        return noted if ours else None
    major, minor = (int(part) for part in str(row["back-maj:min"]).split(":"))
    loop = Loop(row["name"], os.makedev(major, minor), int(row["back-ino"]))
    return loop if row["back-file"] == str(path) or loop == noted else None


def _set_up(path: Path, *, read_only: bool) -> str:
    if read_only:
        # Past FUSE's page cache, which does not know of writes through NBD.
        return _run("losetup", "--find", "--show", "--read-only", "--direct-io=on", str(path)).strip()
    device = _run("losetup", "--find", "--show", "--direct-io=off", str(path)).strip()
    if (Path("/sys/block") / Path(device).name / "loop" / "dio").read_text().strip() != "0":
        _run("losetup", "--detach", device)
        raise errors.DriverError(reason=f"the kernel insists on direct I/O for {device}, with which the storage daemon would corrupt data")
    return device


def _end(loop: Loop) -> None:
    """Detach, after everything was written back; a device that somebody uses is left alone."""
    try:
        descriptor = os.open(loop.device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as problem:
        if problem.errno == errno.EBUSY:
            raise errors.ObjectBusy(what=loop.device, reason="it is mounted or in use; unmount it first") from problem
        raise errors.DriverError(reason=f"cannot open {loop.device}: {problem}") from problem
    try:
        with contextlib.suppress(OSError):  # of a dead daemon's device: what was not written is lost already
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _run("losetup", "--detach", loop.device)
    backing = Path("/sys/block") / Path(loop.device).name / "loop" / "backing_file"
    deadline = time.monotonic() + _GONE_SECONDS
    while backing.exists():
        if time.monotonic() > deadline:
            raise errors.ObjectBusy(what=loop.device, reason="somebody still has it open")
        time.sleep(0.01)


def _run(*words: str) -> str:
    """The output of a system tool; DriverError with its words when it fails."""
    done = _completed(words)
    if done.returncode:
        raise errors.DriverError(reason=f"{words[0]} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _completed(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=_TOOL_SECONDS, env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.SubprocessError) as problem:
        raise errors.DriverError(reason=f"{words[0]} cannot be run: {problem}") from problem

"""A volume as somebody uses it: a place for named records of one size, each durable when written, each read back from the device.

:class:`Filesystem` is a local block device with XFS on it; :class:`Network` is an NBD export in the hands of qemu-io, which stays
connected, for machines where no block device can be made. A record's name ends with its number.
"""

import hashlib
import json
import os
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from breezeblock.cli.tour.serving import run

RECORD_BYTES: Final = 65536
_TOOLS: Final = ("losetup", "mount", "umount", "blockdev", "mkfs.xfs", "xfs_repair", "xfs_growfs")
_PROMPT: Final = b"qemu-io> "
_ANSWER_SECONDS: Final = 60.0


class Disk(Protocol):
    """What the chapters need of it."""

    def prepare(self) -> str:
        """Make it ready for records, once; says how."""

    def write(self, name: str, data: bytes) -> None:
        """Write a record; it is durable when this returns. OSError when that fails."""

    def digests(self, names: Iterable[str]) -> Mapping[str, str]:
        """SHA-256 of those records that are there, read from the device."""

    def size(self) -> int:
        """Bytes of the device, asked anew."""

    def grow(self) -> str:
        """Use the whole of a device that has grown; says how."""

    def check(self) -> str:
        """Have its structure checked by who knows it; says how, empty if there is none. CalledProcessError when it is damaged."""

    def close(self) -> None:
        """Let go of it; everything is written back."""


def missing_for_local() -> str:
    """Why this machine cannot make block devices of volumes; empty when it can."""
    if os.geteuid() != 0:
        return "that needs root"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(device, os.R_OK | os.W_OK):
            return f"there is no usable {device}"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"{', '.join(absent)} is not installed" if absent else ""


class Filesystem:
    """XFS on a block device, mounted at ``point``."""

    def __init__(self, device: str, point: Path, *, made: bool) -> None:
        """``made``: it has its filesystem, and is mounted now, by which the journal is replayed."""
        self._device = device
        self._point = point
        point.mkdir(exist_ok=True)
        self._mounted = False
        if made:
            self._mount()

    def prepare(self) -> str:
        """Make the filesystem and mount it."""
        run("mkfs.xfs", "-q", "-f", self._device)
        self._mount()
        return f"Made an XFS filesystem on {self._device} and mounted it."

    def write(self, name: str, data: bytes) -> None:
        """Write a file, and sync it and the folder that names it."""
        descriptor = os.open(self._point / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self._point, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def digests(self, names: Iterable[str]) -> Mapping[str, str]:
        """Read past the page cache of the filesystem: what was dropped must come from the device."""
        found = {}
        for name in names:
            try:
                descriptor = os.open(self._point / name, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                found[name] = hashlib.sha256(os.read(descriptor, RECORD_BYTES + 1)).hexdigest()
            finally:
                os.close(descriptor)
        return found

    def size(self) -> int:
        """What the kernel says of the device."""
        return int(run("blockdev", "--getsize64", self._device))

    def grow(self) -> str:
        """Grow the mounted filesystem."""
        run("xfs_growfs", str(self._point))
        status = os.statvfs(self._point)
        return f"Grew the mounted filesystem with xfs_growfs; it has {status.f_blocks * status.f_frsize / 2**30:.2f} GiB now."

    def check(self) -> str:
        """Unmount it for a full check that changes nothing, then mount it again."""
        self._unmount()
        run("xfs_repair", "-n", self._device)
        self._mount()
        return "xfs_repair finds the filesystem without a fault"

    def close(self) -> None:
        """Unmount it."""
        self._unmount()

    def _mount(self) -> None:
        # A clone has the id of the filesystem that it was made from, which may be mounted too.
        run("mount", "-t", "xfs", "-o", "nouuid", self._device, str(self._point))
        self._mounted = True

    def _unmount(self) -> None:
        if self._mounted:
            run("umount", str(self._point))
            self._mounted = False


class Network:
    """An NBD export, with one qemu-io connected to it all the time. Record number N stands in the N-th 64 KiB."""

    def __init__(self, socket: str, export: str, scratch: Path) -> None:
        self._image = f"driver=nbd,server.type=unix,server.path={socket},export={export}"
        self._scratch = scratch
        self._unread = b""
        self._process = subprocess.Popen(
            ["qemu-io", "--image-opts", f"{self._image},reconnect-delay=30"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._answer()

    def prepare(self) -> str:
        """Nothing is needed."""
        return "There is no filesystem on it: qemu-io, which stays connected, writes records straight to the disk."

    def write(self, name: str, data: bytes) -> None:
        """Write and flush."""
        source = self._scratch / "record"
        source.write_bytes(data)
        offset = _number(name) * RECORD_BYTES
        wrote = self._tell(f"write -s {shlex.quote(str(source))} {offset} {len(data)}")
        if f"wrote {len(data)}/{len(data)} bytes" not in wrote or (said := self._tell("flush").strip()):
            raise OSError(f"qemu-io could not write {name}: {' '.join((wrote + said).split())}")

    def digests(self, names: Iterable[str]) -> Mapping[str, str]:
        """Read the stretch that holds them with a second client, qemu-img. A record of zeros alone is not there."""
        numbers = {name: _number(name) for name in names}
        if not numbers:
            return {}
        first, last = min(numbers.values()), max(numbers.values())
        target = self._scratch / "stretch"
        target.unlink(missing_ok=True)
        words = [f"bs={RECORD_BYTES}", f"skip={first}", f"count={last + 1}", f"if={self._image}", f"of={target}"]
        run("qemu-img", "dd", "--image-opts", "-O", "raw", *words)
        found = {}
        with target.open("rb") as stretch:
            for name, number in numbers.items():
                stretch.seek((number - first) * RECORD_BYTES)
                data = stretch.read(RECORD_BYTES)
                if data.strip(b"\0"):
                    found[name] = hashlib.sha256(data).hexdigest()
        return found

    def size(self) -> int:
        """What a new client sees."""
        found = json.loads(run("qemu-img", "info", "--output", "json", "--image-opts", self._image))
        return int(found["virtual-size"])

    def grow(self) -> str:
        """Nothing is needed."""
        return "The client that stayed connected had its connection renewed by itself."

    def check(self) -> str:
        """There is no structure."""
        return ""

    def close(self) -> None:
        """End the client."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(_ANSWER_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _tell(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return self._answer()

    def _answer(self) -> str:
        """What it says before its next prompt."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + _ANSWER_SECONDS
        while _PROMPT not in self._unread:
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise OSError(f"qemu-io does not answer for {_ANSWER_SECONDS:g} seconds")
            if not (data := os.read(self._process.stdout.fileno(), 65536)):
                raise OSError(f"qemu-io ended: {' '.join(self._unread.decode(errors='replace').split())}")
            self._unread += data
        said, _, self._unread = self._unread.partition(_PROMPT)
        return said.decode(errors="replace")


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])

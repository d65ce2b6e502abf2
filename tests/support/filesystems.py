"""Filesystems of the tests' own: an image in a file, mounted by a loop device, and gone when the test is, or the whole run.

A small shell holds each mount. It unmounts at the end of its standard input, which comes when the
test closes it and also when the test's process was killed.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}
SMALLEST_MIB = {"ext4": 16, "xfs": 300}
_HOLD = 'mount -t "$1" -o loop,nosuid,nodev "$2" "$3" && rm "$2" && echo mounted; cat >/dev/null; umount "$3" || umount -l "$3"'
_SECONDS = 60


@contextmanager
def mounted(kind: str, folder: Path, size_mib: int) -> Iterator[Path]:
    """A new filesystem of ``kind`` (ext4 or xfs) and size, mounted below ``folder``. Needs root."""
    image, point = folder / f"{kind}.img", folder / kind
    point.mkdir()
    with image.open("xb") as made:
        made.truncate(max(size_mib, SMALLEST_MIB[kind]) << 20)
    subprocess.run([*MAKE[kind], str(image)], check=True, timeout=_SECONDS, capture_output=True)
    holder = subprocess.Popen(
        ["sh", "-c", _HOLD, "hold", kind, str(image), str(point)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n", f"{kind} could not be mounted; the tests need root and a loop device"
        yield point
    finally:
        holder.communicate(timeout=_SECONDS)


def fill(point: Path) -> None:
    """Leave no block free, whatever the filesystem keeps in reserve for root."""
    filler = point / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
            _append_until_full(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append_until_full(descriptor: int, size: int) -> None:
    block = bytes(size)
    while True:
        try:
            if os.write(descriptor, block) < size:
                return
        except OSError:
            return

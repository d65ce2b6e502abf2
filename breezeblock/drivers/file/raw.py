"""Raw sparse files that share extents: snapshots and clones are reflinks, in milliseconds whatever the size.

A reflink is crash-consistent also of a file that a daemon writes to: the kernel keeps writers out
while it clones, and takes what they wrote before.
"""

import dataclasses
import errno
import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from breezeblock.drivers.file.directory import GIB, Directory, translated
from breezeblock.drivers.file.fence import Fences
from breezeblock.drivers.file.handles import Stored
from breezeblock.drivers.file.still import kept_still
from breezeblock.drivers.interface import Call, LiveImages, SnapshotSpec, VolumeSpec, object_name

_FICLONE = 0x40049409
"""linux/fs.h: _IOW(0x94, 9, int)."""
_CANNOT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EXDEV)


def can_reflink(path: Path) -> bool:
    """Whether files in ``path`` can share extents, found out by doing it, on files without names."""
    with tempfile.TemporaryFile(dir=path) as one, tempfile.TemporaryFile(dir=path) as two:
        one.write(b"reflink?" * 512)
        one.flush()
        try:
            fcntl.ioctl(two.fileno(), _FICLONE, one.fileno())
        except OSError as problem:
            if problem.errno in _CANNOT:
                return False
            raise
        return os.fstat(two.fileno()).st_size == os.fstat(one.fileno()).st_size


class RawFiles:
    """The raw half of a file backend."""

    def __init__(self, directory: Directory, fences: Fences, live: LiveImages) -> None:
        self._directory = directory
        self._fences = fences
        self._live = live

    def create(self, call: Call, volume: VolumeSpec) -> Stored:
        """A sparse file of zeros."""
        name = object_name(volume.id, call)
        with self._directory.new(name) as path, path.open("xb") as made:
            made.truncate(volume.size_gib * GIB)
        return Stored("volume", "raw", volume.size_gib, (name,))

    def upon(self, call: Call, base: Sequence[str], volume_id: str, size_gib: int) -> Stored:
        """A private file for a volume that shares the extents of ``base``."""
        name = self._share(call, base[0], volume_id, size_gib)
        return Stored("volume", "raw", size_gib, (name,))

    def snapshot(self, call: Call, source: Stored, snapshot: SnapshotSpec) -> tuple[Stored, Stored]:
        """A file that shares the volume's extents; the volume does not change."""
        with self._fences.held(snapshot.volume_id, call):
            name = self._share(call, source.top, snapshot.id, snapshot.size_gib)
        return source, Stored("snapshot", "raw", snapshot.size_gib, (name,))

    def clone(self, call: Call, source_id: str, source: Stored, new: VolumeSpec) -> tuple[Stored, Stored]:
        """A volume that shares the source's extents; the source does not change."""
        with self._fences.held(source_id, call):
            return source, self.upon(call, source.files, new.id, new.size_gib)

    def extend(self, call: Call, volume_id: str, source: Stored, size_gib: int) -> Stored:
        """Grow the file in place, by its daemon when it is open."""
        with self._fences.held(volume_id, call), kept_still(self._live, volume_id, call.token(volume_id)) as live:
            if live:
                self._live.resize(volume_id, size_gib * GIB, call.token(volume_id))
            else:
                grow(self._directory, source.top, size_gib)
        return dataclasses.replace(source, size_gib=size_gib)

    def files(self, volume_id: str, source: Stored) -> tuple[str, ...]:
        """The volume's file."""
        return source.files

    def own(self, volume_id: str, source: Stored) -> Sequence[str]:
        """The volume's file: extents that others share stay theirs."""
        return source.files

    def _share(self, call: Call, source: str, resource_id: str, size_gib: int) -> str:
        """A private file of exactly ``size_gib``; what is beyond the source reads as zeros."""
        name = object_name(resource_id, call)
        with (
            translated(source, self._directory.path),
            self._directory.file(source).open("rb") as old,
            self._directory.new(name) as path,
            path.open("xb") as made,
        ):
            fcntl.ioctl(made.fileno(), _FICLONE, old.fileno())
            made.truncate(size_gib * GIB)
        return name


def grow(directory: Directory, name: str, size_gib: int) -> None:
    """Let the file reach ``size_gib``. It only ever grows, whatever the order of late calls: allocation cannot shorten a file."""
    with translated(name, directory.path):
        descriptor = os.open(directory.file(name), os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size < size_gib * GIB:
                os.posix_fallocate(descriptor, size_gib * GIB - 1, 1)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

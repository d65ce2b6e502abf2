"""The directory of a file backend: new private files, capacity, and what stands there.

It never renames and never overwrites: a name holds resource, job and epoch, so only a repetition of
the very same call can meet it, and then what it meets is its own leftover.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.interface import StoredObject, parse_object_name

GIB = 1 << 30
_BLOCK = 512


@contextmanager
def translated(what: str, where: Path) -> Iterator[None]:
    """Turn an OSError into the driver's error: NoSpace, ObjectMissing, or DriverError."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.NoSpace(where=where, what=what) from problem
        if problem.errno == errno.ENOENT:
            raise errors.ObjectMissing(what=what) from problem
        raise errors.DriverError(reason=f"{what}: {problem.strerror}") from problem


class Directory:
    """One backend's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def setup(self) -> None:
        """Make it, readable by nobody else."""
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as problem:
            raise errors.BadConfiguration(reason=f"file_path {self.path} cannot be used: {problem.strerror}") from problem

    def file(self, name: str) -> Path:
        """The path of the object ``name``; DriverError for a name that is not ours."""
        if parse_object_name(name) is None:
            raise errors.DriverError(reason=f"{name!r} is no object of the file driver")
        return self.path / name

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """A private file to be written; whole and on the disk afterwards, or gone when anything fails.

        A leftover of the same name is of the same job and epoch, so nobody else can want it.
        """
        path = self.file(name)
        with translated(name, self.path):
            path.unlink(missing_ok=True)
            try:
                yield path
                sync(path)
                sync(self.path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def unlink(self, name: str) -> None:
        """Delete an object; one that is gone already is no error. A crash may bring it back: then the collector finds it."""
        with translated(name, self.path):
            self.file(name).unlink(missing_ok=True)

    def objects(self) -> Sequence[StoredObject]:
        """All objects, with what they occupy."""
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                parsed = parse_object_name(entry.name)
                if parsed is None:
                    continue
                try:
                    occupied = entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                except FileNotFoundError:
                    continue
                found.append(StoredObject(entry.name, *parsed, occupied))
        return found

    def capacity_gib(self) -> tuple[float, float]:
        """Total and free GiB of the filesystem, as this process may use them."""
        with translated(str(self.path), self.path):
            stat = os.statvfs(self.path)
        return stat.f_blocks * stat.f_frsize / GIB, stat.f_bavail * stat.f_frsize / GIB


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

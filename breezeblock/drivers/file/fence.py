"""The fence of a volume: refuses late callers, and remembers which layer its data are in.

One file per volume under ``.fence/``. Whoever changes a volume in place holds its flock, compares
tokens, stores the higher one and performs the effect, all in that one critical section (protocol
rules R1 and R2). A holder that is stopped keeps the lock; its lease's kernel timer ends it, and a
tool that it started inherits the lock, so nothing of it is left when the next holder comes in.

The file also remembers a *switch*: the volume's data went on in a new top layer, which the
database does not know before the job's finish. It is stored before the effect, so that a daemon
started later, a second job and the collector see the same layers as the job that died in between.

The record has two slots, written in turn, each with a checksum: a torn write loses nothing. This
module never unlinks a fence whose volume may still have a job; only the collector asks for that.
"""

import dataclasses
import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.file.directory import sync, translated
from breezeblock.drivers.interface import Call, StoredObject, Token, checked_id

FOLDER = ".fence"
_SLOT = 4096
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_READ_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Switch:
    """The volume that the database knows by the top file ``was`` goes on in ``layers``, top first."""

    was: str
    layers: tuple[str, ...]

    def applied(self, files: Sequence[str]) -> tuple[str, ...]:
        """The layers of a volume whose handle says ``files``; of any other top file this switch says nothing."""
        return self.layers if files[0] == self.was else tuple(files)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a fence remembers."""

    sequence: int
    token: Token
    job_id: str
    switch: Switch | None = None


class Held:
    """A fence that is held, with a token that was accepted."""

    def __init__(self, descriptor: int, seen: Seen) -> None:
        self.descriptor = descriptor
        self._seen = seen

    @property
    def switch(self) -> Switch | None:
        """The switch that was stored last."""
        return self._seen.switch

    def store(self, switch: Switch) -> None:
        """Remember a switch, on the disk, before it is made."""
        self._seen = dataclasses.replace(self._seen, sequence=self._seen.sequence + 1, switch=switch)
        _write(self.descriptor, self._seen)


class Fences:
    """The fences of one backend's directory."""

    def __init__(self, directory: Path, lock_seconds: float) -> None:
        """``lock_seconds`` bounds the wait for somebody else's critical section."""
        self._folder = directory / FOLDER
        self._lock_seconds = lock_seconds

    def setup(self) -> None:
        """Make the folder."""
        self._folder.mkdir(mode=0o750, exist_ok=True)

    @contextmanager
    def held(self, volume_id: str, call: Call) -> Iterator[Held]:
        """The critical section of ``call`` on a volume.

        Raises Fenced when a higher token was here, ObjectBusy when somebody holds the lock too long.
        """
        token = call.token(volume_id)
        with translated(_named(volume_id), self._folder):
            descriptor = self._locked(volume_id)
        try:
            seen = _read(descriptor, volume_id)
            _accept(seen, token, volume_id)
            if seen is None or token > seen.token:
                seen = Seen(seen.sequence + 1 if seen else 1, token, call.job_id, seen.switch if seen else None)
                _write(descriptor, seen)
                if seen.sequence == 1:
                    with translated(_named(volume_id), self._folder):
                        sync(self._folder)
            yield Held(descriptor, seen)
        finally:
            os.close(descriptor)

    @contextmanager
    def not_older(self, volume_id: str, call: Call) -> Iterator[None]:
        """Keeps a late caller from a volume that a newer one has changed, without leaving a trace of its own.

        For deletes: a deleted volume has no fence that would be worth making. Raises as :meth:`held` does.
        """
        token = call.tokens.get(volume_id)
        if token is None or self.peek(volume_id) is None:
            yield
            return
        with translated(_named(volume_id), self._folder):
            descriptor = self._locked(volume_id)
        try:
            _accept(_read(descriptor, volume_id), token, volume_id)
            yield
        finally:
            os.close(descriptor)

    def peek(self, volume_id: str) -> Seen | None:
        """What the fence remembers, without waiting for its holder."""
        try:
            descriptor = os.open(self._folder / checked_id(volume_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _read(descriptor, volume_id)
        finally:
            os.close(descriptor)

    def volumes(self) -> frozenset[str]:
        """The ids of all volumes that have a fence."""
        return frozenset(path.name for path in self._folder.iterdir())

    def objects(self) -> Sequence[StoredObject]:
        """All fences as the collector sees them: unneeded when neither the volume nor the job that was here last is left."""
        found = []
        for volume_id in self.volumes():
            seen = self.peek(volume_id)
            job_id, epoch = (seen.job_id, seen.token.epoch) if seen else ("", 0)
            found.append(StoredObject(f"{FOLDER}/{volume_id}", volume_id, job_id, epoch, 2 * _SLOT))
        return found

    def busy(self) -> frozenset[str]:
        """The volumes that somebody is in the critical section of."""
        return frozenset(volume_id for volume_id in self.volumes() if self._is_held(volume_id))

    def remove(self, volume_id: str) -> None:
        """Forget a volume that is gone; one whose fence is held is left for another time."""
        path = self._folder / checked_id(volume_id)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if _taken(descriptor):
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def _is_held(self, volume_id: str) -> bool:
        try:
            descriptor = os.open(self._folder / checked_id(volume_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _taken(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def _locked(self, volume_id: str) -> int:
        """A descriptor of the volume's fence that holds its lock."""
        path = self._folder / checked_id(volume_id)
        deadline = time.monotonic() + self._lock_seconds
        pause = _FIRST_PAUSE
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _taken(descriptor) and _still_there(descriptor, path):
                return descriptor
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise errors.ObjectBusy(what=volume_id, reason=f"another change of it has not ended for {self._lock_seconds:g} seconds")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _accept(seen: Seen | None, token: Token, volume_id: str) -> None:
    if seen is not None and token < seen.token:
        raise errors.Fenced(token=token, resource=volume_id, seen=seen.token)


def _named(volume_id: str) -> str:
    return f"the fence of volume {volume_id}"


def _taken(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether the locked file is the one at ``path``: the collector may have removed it while we waited."""
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _write(descriptor: int, seen: Seen) -> None:
    body = json.dumps(
        {
            "sequence": seen.sequence,
            "token": dataclasses.astuple(seen.token),
            "job": seen.job_id,
            "switch": dataclasses.astuple(seen.switch) if seen.switch else None,
        }
    ).encode()
    line = b"%08x %s\n" % (zlib.crc32(body), body)
    if len(line) > _SLOT:
        raise errors.DriverError(reason=f"the layers of a volume no longer fit into its fence ({len(line)} bytes)")
    with translated("the fence of a volume", Path(FOLDER)):
        os.pwrite(descriptor, line.ljust(_SLOT, b"\0"), _SLOT * (seen.sequence % 2))
        os.fdatasync(descriptor)


def _read(descriptor: int, volume_id: str) -> Seen | None:
    """The newest whole slot; None for a fence that nobody ever wrote."""
    for _ in range(_READ_ATTEMPTS):
        found = os.pread(descriptor, 2 * _SLOT, 0)
        if not found.strip(b"\0"):
            return None
        slots = [seen for seen in (_parse(found[:_SLOT]), _parse(found[_SLOT:])) if seen]
        if slots:
            return max(slots, key=lambda seen: seen.sequence)
    raise errors.DriverError(reason=f"the fence of volume {volume_id} is damaged; nothing may change it before it is looked at")


def _parse(slot: bytes) -> Seen | None:
    """One slot, or None when it was never or not wholly written."""
    checksum, _, body = slot.rstrip(b"\0").rstrip(b"\n").partition(b" ")
    if not body or checksum != b"%08x" % zlib.crc32(body):
        return None
    fields = json.loads(body)
    switch = fields["switch"]
    return Seen(fields["sequence"], Token(*fields["token"]), fields["job"], Switch(switch[0], tuple(switch[1])) if switch else None)

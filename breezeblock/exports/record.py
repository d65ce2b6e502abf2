"""The critical section of one volume's export on this host, its fence, and what is remembered of it.

Whoever starts, stops or changes an export holds the volume's *gate* (an flock), compares fence
tokens, stores the higher one and performs the effect, all within the gate (protocol rules R1 and
R2). A holder that dies frees the gate; one that is stopped keeps it until its lease's kernel timer
ends it (rule R4). The gate is never inherited by a daemon.

The record says what should be exported. Whether it *is* exported, only the daemon can say.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from breezeblock import errors
from breezeblock.drivers.interface import Token
from breezeblock.exports.home import Home

GATE_SECONDS = 20.0
"""How long to wait for somebody else's critical section: longer than a stopped worker's lease."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


class Address(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the NBD server of a volume listens: a UNIX socket, or a TCP host and port."""

    socket: str | None = None
    host: str | None = None
    port: int | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one volume on this host; ``present`` says whether it should be exported."""

    version: int = 1
    volume_id: str
    token: tuple[int, int, int]
    present: bool = False
    path: str = ""
    format: str = "raw"
    size_bytes: int = 0
    address: Address | None = None
    services: tuple[str, ...] = ()
    boot_id: str = ""

    def but(self, **changes: object) -> Self:
        """A copy with ``changes``."""
        return msgspec.structs.replace(self, **changes)

    @property
    def generation(self) -> int:
        """The volume's generation of the last accepted call."""
        return self.token[1]


def load(home: Home) -> Record | None:
    """What is remembered, or None for a volume that this host never exported. DriverError when it cannot be read."""
    try:
        return msgspec.json.decode(home.record.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as problem:
        raise errors.DriverError(reason=f"{home.record} is damaged ({problem}); look at the volume before you remove it") from problem


def store(home: Home, record: Record) -> None:
    """Remember ``record``, on the disk when this returns. Only within the gate."""
    fresh = home.record.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(record))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(home.record)
    _sync_directory(home.directory)


def admit(home: Home, token: Token | None) -> Record:
    """Check ``token`` against the highest one seen, store it, and give the record. Only within the gate.

    Without a token (an operator's command, a rebuild) nothing is compared. Raises Fenced for a lower token.
    """
    record = load(home)
    if token is None:
        return record or Record(volume_id=home.volume_id, token=(0, 0, 0))
    mine = (token.db_term, token.generation, token.epoch)
    if record is None:
        record = Record(volume_id=home.volume_id, token=mine)
    elif mine < record.token:
        raise errors.Fenced(token=token, resource=home.volume_id, seen=Token(*record.token))
    elif mine == record.token:
        return record
    else:
        record = record.but(token=mine)
    store(home, record)
    return record


@contextmanager
def gate(home: Home) -> Iterator[None]:
    """The volume's critical section among all threads and processes of this host; ObjectBusy when it is not free in time."""
    home.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = _locked(home)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(home: Home) -> int:
    deadline = time.monotonic() + GATE_SECONDS
    pause = _FIRST_PAUSE
    while True:
        descriptor = take(home.gate)
        if descriptor is not None and _same(descriptor, home.gate):
            return descriptor
        if descriptor is not None:
            os.close(descriptor)
            home.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif time.monotonic() > deadline:
            raise errors.ObjectBusy(
                what=f"the export of volume {home.volume_id}", reason=f"another change of it has not ended for {GATE_SECONDS:g} seconds"
            )
        else:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def take(path: Path) -> int | None:
    """A descriptor that holds an exclusive flock on ``path``, or None when somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _same(descriptor: int, path: Path) -> bool:
    """Whether the locked file still stands at ``path``: a deleted volume's directory is removed under its gate."""
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

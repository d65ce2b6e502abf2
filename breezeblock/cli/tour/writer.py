"""Somebody who uses a disk all the time: writes a record, reads it back, compares, and remembers when.

It stops at the first thing that is off, and says so to whoever ends it.
"""

import dataclasses
import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

from breezeblock.cli.tour.disks import RECORD_BYTES, Disk

PAUSE: Final = 0.02
"""Seconds between two records, so that other processes of a small machine have their turn."""
END_SECONDS: Final = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """One record that was read back as it was written. Seconds of the monotonic clock."""

    name: str
    digest: str
    began: float
    ended: float


def write(disk: Disk, name: str) -> Written:
    """Write one record of random bytes and read it back. OSError when it cannot be, or comes back different."""
    data = os.urandom(RECORD_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    began = time.monotonic()
    disk.write(name, data)
    if disk.digests([name]).get(name) != digest:
        raise OSError(f"{name} was read back with other bytes than were written")
    return Written(name, digest, began, time.monotonic())


class Writer:
    """Writes records in a thread until it is ended."""

    def __init__(self, disk: Disk, numbers: Iterator[int]) -> None:
        self.written: list[Written] = []
        self.failure = ""
        self._disk = disk
        self._numbers = numbers
        self._ending = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def _run(self) -> None:
        while not self._ending.wait(PAUSE):
            try:
                record = write(self._disk, f"record-{next(self._numbers):05}")
            except (OSError, subprocess.SubprocessError) as error:
                with self._news:
                    self.failure = " ".join(str(error).split()) or type(error).__name__
                    self._news.notify_all()
                return
            with self._news:
                self.written.append(record)
                self._news.notify_all()

    def more(self, number: int, seconds: float) -> bool:
        """Wait until so many further records are written; False when they are not in time."""
        with self._news:
            wanted = len(self.written) + number
            return self._news.wait_for(lambda: len(self.written) >= wanted or bool(self.failure), seconds) and not self.failure

    def end(self) -> bool:
        """Have it end after the record under way; False when it does not: its write hangs."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(END_SECONDS)
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()


@contextmanager
def writing(disk: Disk, numbers: Iterator[int]) -> Iterator[Writer]:
    """A writer at work; it has ended afterwards."""
    writer = Writer(disk, numbers)
    writer.start()
    try:
        yield writer
    finally:
        writer.end()


def longest_pause(written: Sequence[Written]) -> float:
    """Seconds between the ends of two records that follow each other."""
    return max((after.ended - before.ended for before, after in pairwise(written)), default=0.0)


def differences(disk: Disk, wanted: Mapping[str, str]) -> str:
    """What is not there, or not as it was written, in words; empty when every checksum holds."""
    found = disk.digests(wanted)
    lost = [name for name in wanted if name not in found]
    other = [name for name, digest in wanted.items() if found.get(name, digest) != digest]
    words = []
    if lost:
        words.append(f"{len(lost)} of {len(wanted)} records are missing, the first is {lost[0]}")
    if other:
        words.append(f"{len(other)} of {len(wanted)} records have a wrong checksum, the first is {other[0]}")
    return "; ".join(words)

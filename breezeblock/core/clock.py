"""Time, injected. Ownership is never decided by a timestamp (see :mod:`breezeblock.core.leases`)."""

import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """What the service asks about time; tests and the simulation bring their own."""

    def utcnow(self) -> datetime.datetime:
        """Wall time, naive UTC, for people to read."""

    def boottime(self) -> float:
        """Seconds of CLOCK_BOOTTIME, which goes on while the machine is suspended; for leases."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clocks."""

    def utcnow(self) -> datetime.datetime:
        """Wall time, naive UTC."""
        return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

    def boottime(self) -> float:
        """Seconds of CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Wait ``seconds``."""
        time.sleep(seconds)


def wire_time(at: datetime.datetime | None) -> str | None:
    """A moment as the API writes it: ISO 8601 in UTC with microseconds and no zone, as clients parse it."""
    return None if at is None else at.isoformat("T", "microseconds")

"""What a worker does by the clock: rescue, capacity reports, collection of leftovers, purges.

Each duty runs in one thread, one after the other; a duty that fails is logged and comes again.
"""

import dataclasses
import logging
import random
import threading
from collections.abc import Callable
from typing import Any

from breezeblock import errors
from breezeblock.core.clock import Clock

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Duty:
    """Something to do every so many seconds."""

    name: str
    every: float
    do: Callable[[], Any]


class Periodic:
    """The thread that does the duties."""

    def __init__(self, clock: Clock, duties: tuple[Duty, ...]) -> None:
        self._clock = clock
        self._due = {duty.name: 0.0 for duty in duties}
        self._duties = {duty.name: duty for duty in duties}
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="periodic", daemon=True)

    def start(self) -> None:
        """Begin; every duty is due at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the duty that runs now."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def hurry(self, name: str) -> None:
        """Do this duty as soon as possible."""
        with self._wake:
            self._due[name] = 0.0
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._stopping:
                    return
                now = self._clock.boottime()
                name = min(self._due, key=self._due.__getitem__)
                if self._due[name] > now:
                    self._wake.wait(self._due[name] - now)
                    continue
                duty = self._duties[name]
                self._due[name] = now + duty.every * random.uniform(0.8, 1.0)
            _perform(duty)


def _perform(duty: Duty) -> None:
    try:
        duty.do()
    except errors.Unavailable as away:
        log.warning("%s: %s", duty.name, away)
    except Exception:
        log.exception("%s failed; it comes again in %g s", duty.name, duty.every)

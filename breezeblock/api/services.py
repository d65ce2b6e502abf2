"""What the application is made of. Built once per process and passed down; nothing of it is global."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from breezeblock.api.auth import Authenticator
from breezeblock.api.policy import Policy
from breezeblock.config import Settings
from breezeblock.core.clock import Clock
from breezeblock.core.resource import Registry
from breezeblock.store.engine import Store


class Hints(Protocol):
    """Where a process hears that a queue has news."""

    def wait(self, timeout: float, /) -> object:
        """Return when a hint arrives, and after ``timeout`` seconds at the latest."""


class Deaf:
    """Hears nothing, and so waits the whole time."""

    def wait(self, timeout: float, /) -> None:
        """Sleep ``timeout`` seconds."""
        time.sleep(timeout)


def no_hints(queue: str) -> AbstractContextManager[Hints]:
    """For processes without wake-up hints."""
    return nullcontext(Deaf())


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The parts that answering a request needs."""

    store: Store
    settings: Settings
    clock: Clock
    policy: Policy
    authenticator: Authenticator
    registry: Registry
    listen: Callable[[str], AbstractContextManager[Hints]] = no_hints
    """Hear of a queue's news for a while. Only a hint: whoever waits looks by himself too."""

"""What the application is made of. Built once per process and passed down; nothing of it is global."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from breezeblock.api.auth import Authenticator
from breezeblock.api.policy import Policy
from breezeblock.config import Settings
from breezeblock.core.clock import Clock
from breezeblock.core.resource import Registry
from breezeblock.store.engine import Store


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The parts that answering a request needs."""

    store: Store
    settings: Settings
    clock: Clock
    policy: Policy
    authenticator: Authenticator
    registry: Registry
    pause: Callable[[float], None] = time.sleep
    """Wait at most so many seconds for news of jobs; a hint that one ended may end it early."""

"""From the settings to what the application needs. Used where a process is put together, and nowhere else."""

import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from breezeblock.api.auth import Authenticator
from breezeblock.api.auth.none import NoAuthentication
from breezeblock.api.policy import Policy
from breezeblock.api.services import ApiServices, Hints, no_hints
from breezeblock.config import Settings
from breezeblock.core import faults
from breezeblock.core.clock import SystemClock
from breezeblock.core.wake import WakeListener
from breezeblock.resources import catalogue
from breezeblock.store.connect import open_store

AUTHENTICATORS: Mapping[str, Callable[[Settings], Authenticator]] = {"none": lambda _: NoAuthentication()}
"""By ``auth_strategy``."""
_log = logging.getLogger(__name__)


def services(settings: Settings, name: str) -> ApiServices:
    """The services of one API process; ``name`` is what its database sessions are called. Connects to nothing yet.

    Raises errors.BadConfiguration for a policy file or a database URL that cannot be used.
    """
    clock = SystemClock()
    return ApiServices(
        store=open_store(settings, name, faults.reach),
        settings=settings,
        clock=clock,
        policy=Policy(clock, settings.policy_file),
        authenticator=AUTHENTICATORS[settings.auth_strategy](settings),
        registry=catalogue.registry(),
        listen=partial(_listen, settings.state_path),
    )


def _listen(state_path: Path, queue: str) -> AbstractContextManager[Hints]:
    """A mailbox of its own for each that waits; a folder that cannot be written costs the hints, and nothing else."""
    try:
        return WakeListener(state_path, f"wait-{uuid.uuid4()}", (queue,))
    except OSError as error:
        _log.warning("no wake-up hints: %s", error)
        return no_hints(queue)

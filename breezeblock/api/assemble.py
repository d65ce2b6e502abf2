"""From the settings to what the application needs. Used where a process is put together, and nowhere else."""

from collections.abc import Callable, Mapping

from breezeblock.api.auth import Authenticator
from breezeblock.api.auth.none import NoAuthentication
from breezeblock.api.policy import Policy
from breezeblock.api.services import ApiServices
from breezeblock.config import Settings
from breezeblock.core import faults
from breezeblock.core.clock import SystemClock
from breezeblock.resources import catalogue
from breezeblock.store.connect import open_store

AUTHENTICATORS: Mapping[str, Callable[[Settings], Authenticator]] = {"none": lambda _: NoAuthentication()}
"""By ``auth_strategy``."""


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
    )

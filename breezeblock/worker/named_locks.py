"""The lock service of a backend, as its driver gets it."""

import functools
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from breezeblock.config import CoordinationSettings
from breezeblock.drivers.interface import NamedLocks

if TYPE_CHECKING:
    # Tooz costs a fifth of a second of the start, which drivers with fences of their own need not pay.
    from breezeblock.core.locks import Locks


def open_locks(settings: CoordinationSettings, member: str) -> NamedLocks:
    """The locks of a backend; ``member`` names this process. Raises BadConfiguration for a service that is unknown.

    Locks on this machine's files are made when a driver first asks for one; another service is checked at once.
    """
    locks = _WhenAsked(settings, member)
    return locks if settings.backend_url.startswith("file:") else locks.made


class _WhenAsked:
    """Local locks that are made when first asked for."""

    def __init__(self, settings: CoordinationSettings, member: str) -> None:
        self._settings = settings
        self._member = member

    @property
    def distributed(self) -> bool:
        """They are not."""
        return False

    @functools.cached_property
    def made(self) -> "Locks":
        """The locks."""
        from breezeblock.core.locks import Locks  # noqa: PLC0415

        return Locks(self._settings, self._member)

    def lock(self, *names: str, timeout: float) -> AbstractContextManager[Any]:
        """Hold all of ``names`` for the block."""
        return self.made.lock(*names, timeout=timeout)

"""Who asks: one module per ``auth_strategy``, each giving an :class:`Authenticator`."""

from collections.abc import Mapping
from typing import Protocol

from breezeblock.core.requests import Caller


class Authenticator(Protocol):
    """Turns a request's headers into its caller."""

    def caller(self, headers: Mapping[str, str], path_project: str | None) -> Caller:
        """The caller; ``path_project`` is the project that the path names. Raises :class:`breezeblock.errors.Unauthorized`.

        ``headers`` have lower-case names.
        """

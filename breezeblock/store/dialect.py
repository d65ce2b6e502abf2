"""What the engine asks of a database's own module, and the limits that bound every wait.

One module per database answers: :mod:`~breezeblock.store.sqlite`, :mod:`~breezeblock.store.postgresql`
and :mod:`~breezeblock.store.mariadb`. None of them opens a transaction by itself.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import sqlalchemy as sa

from breezeblock import errors


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of waiting, in seconds, and of the pool, in connections (protocol rules R4 and R7)."""

    connect: float = 2.0
    statement: float = 2.5
    """The server ends a statement then. ``3 * heartbeat + statement < lease - margin`` is checked at start-up (R4)."""
    answer: float = 1.5
    """The client takes the connection for lost this long after the server should have ended the statement."""
    lock: float = 2.0
    idle_in_transaction: float = 5.0
    away: float = 2.0
    """How long a transaction is tried again while the database cannot be reached."""
    contended: float = 8.0
    """How long it is tried again while others are in its way, and how long the fate of a lost commit is looked for."""
    pool_size: int = 8
    pool_overflow: int = 8
    pool_wait: float = 5.0


class Trouble(enum.Enum):
    """What an error of the database means for the transaction that met it."""

    CONTENDED = "deadlock, serialization failure, lock wait timeout: nothing happened, try the whole again"
    LOST = "the connection is gone: nothing happened unless it was the commit"
    SLOW = "the server ended the statement for its length"
    DUPLICATE = "a unique key exists already"
    OTHER = "a programming error or a full disk: no repetition helps"


class Dialect(Protocol):
    """A database's particulars; a module is one."""

    NAME: str

    def normal_url(self, url: sa.URL) -> sa.URL:
        """The URL with our driver in it. Raises errors.BadConfiguration when it cannot be used."""

    def engine_options(self, name: str, limits: Limits) -> dict[str, Any]:
        """Keyword arguments of ``sqlalchemy.create_engine``: the driver is in autocommit mode, so that a read costs one round trip."""

    def connect(self, arguments: Sequence[Any], keywords: dict[str, Any], limits: Limits) -> Any:
        """Open a connection; the arguments are those that SQLAlchemy made of the URL and the options."""

    def prepare(self, raw: Any, name: str, limits: Limits) -> None:
        """Set up a new connection. Raises errors.BadConfiguration when the server could lose a commit (R8)."""

    def begin(self, raw: Any) -> None:
        """Begin a write transaction on a connection that is in autocommit mode."""

    def commit(self, raw: Any) -> None:
        """Commit it and return to autocommit mode."""

    def rollback(self, raw: Any) -> None:
        """Roll the whole of it back and return to autocommit mode."""

    def classify(self, error: BaseException) -> Trouble:
        """Read the driver's error."""


def dialect_of(url: str) -> Dialect:
    """The module for ``url``. Raises errors.BadConfiguration for a database that is not supported."""
    backend = url.split(":", 1)[0].split("+", 1)[0]
    module: ModuleType
    if backend == "sqlite":
        from breezeblock.store import sqlite as module  # noqa: PLC0415 - only the driver that is used is loaded
    elif backend in ("postgresql", "postgres"):
        from breezeblock.store import postgresql as module  # noqa: PLC0415 - only the driver that is used is loaded
    elif backend in ("mysql", "mariadb"):
        from breezeblock.store import mariadb as module  # noqa: PLC0415 - only the driver that is used is loaded
    else:
        raise errors.BadConfiguration(reason=f"the database URL begins with {backend!r}; use sqlite:, postgresql: or mysql:")
    return module

"""Wake-up hints between hosts, by PostgreSQL's NOTIFY; the other databases have nothing like it (protocol rule R7).

Sent after the commit and outside of any transaction: inside one, NOTIFY takes a lock of the whole cluster until the
commit is on disk. On a connection of its own, straight to the server: LISTEN does not survive a pooler's
transactions. Each queue is a channel of its own, so that a process hears of its own queues only.
Nothing here may be relied upon; what is lost is found by polling.
"""

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Collection
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg import sql

from breezeblock.config import DatabaseSettings

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_NAME_LIMIT: Final = 63
_SEND: Final = "SELECT pg_notify(channel, '') FROM unnest(%s::text[]) AS channel"
_log = logging.getLogger(__name__)


def channel(queue: str) -> str:
    """The channel of a queue; a channel's name has at most 63 bytes, a queue's any number."""
    return "breezeblock_" + hashlib.blake2b(queue.encode(), digest_size=16).hexdigest()


class Notifier:
    """Sends hints. For one thread."""

    def __init__(self, settings: DatabaseSettings, name: str) -> None:
        """Connects when first used; ``name`` is what its session is called."""
        self._settings = settings
        self._name = name
        self._connection: psycopg.Connection[Any] | None = None

    def __call__(self, queues: Collection[str]) -> None:
        """Hint at these queues. Raises psycopg.Error when the server cannot be reached; the next call tries anew."""
        if self._connection is None:
            self._connection = _connect(self._settings, self._name)
        try:
            self._connection.execute(_SEND, ([channel(queue) for queue in queues],))
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Listener:
    """Receives hints for some queues: the ``Notifications`` of :class:`breezeblock.core.wake.WakeListener`. For one thread."""

    def __init__(self, settings: DatabaseSettings, name: str, queues: Collection[str]) -> None:
        """Connects when first asked."""
        self._settings = settings
        self._name = name
        self._queues = {channel(queue): queue for queue in queues}
        self._connection: psycopg.Connection[Any] | None = None
        self._silent = os.eventfd(0, os.EFD_CLOEXEC)
        """Never readable: there is nothing to hear while there is no connection."""
        self._next_try, self._wait = 0.0, _FIRST_WAIT
        self._missed = False

    def fileno(self) -> int:
        """Readable when a hint has come, or the connection broke."""
        self._connect_if_due()
        return self._silent if self._connection is None else self._connection.fileno()

    def read(self) -> Collection[str]:
        """The queues hinted at since the last call; all of them after a time without a connection."""
        if self._connection is None:
            return ()
        found: set[str] = set()
        if self._missed:
            self._missed = False
            found.update(self._queues.values())
        try:
            found.update(self._queues[notice.channel] for notice in self._connection.notifies(timeout=0))
        except psycopg.Error as error:
            self._lose(error)
        return found

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        os.close(self._silent)

    def _connect_if_due(self) -> None:
        if self._connection is not None or time.monotonic() < self._next_try:
            return
        try:
            self._connection = _connect(self._settings, self._name)
            for name in self._queues:
                self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            self._lose(error)
            return
        self._wait, self._missed = _FIRST_WAIT, True

    def _lose(self, error: psycopg.Error) -> None:
        _log.warning("wake-up hints of other hosts do not arrive, and are asked for again in %g s: %s", self._wait, error)
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
        self._next_try = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _LONGEST_WAIT)


def _connect(settings: DatabaseSettings, name: str) -> "psycopg.Connection[Any]":
    url = sa.make_url(settings.notify_connection or settings.connection).set(drivername="postgresql")
    return psycopg.connect(
        url.render_as_string(hide_password=False),
        autocommit=True,
        application_name=f"{name} hints"[:_NAME_LIMIT],
        connect_timeout=max(2, settings.connect_timeout),
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
    )

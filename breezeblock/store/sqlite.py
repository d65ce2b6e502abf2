"""SQLite: one file, WAL, and a gate that lets writers queue instead of starving each other (protocol rule R8).

SQLite's own lock makes writers poll with growing pauses, so that a lease renewal can wait for many
seconds behind busy writers. Every writer therefore first takes a blocking flock on ``<file>.gate``,
which the kernel hands on in turn, and then BEGIN IMMEDIATE, which then does not wait. Readers take
no gate. A holder that dies releases the gate with its file descriptor.
"""

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.store.dialect import Limits, Trouble

NAME = "sqlite"
_CACHE_KIB = 16384


class GatedConnection(sqlite3.Connection):
    """A connection with a gate of its own: two threads of one process exclude each other like two processes."""

    gate: int | None = None

    def enter(self) -> None:
        """Wait for the gate. The wait is as long as other writers' transactions take; a dead holder's gate is open."""
        if self.gate is None:
            path = self.execute("PRAGMA database_list").fetchone()[2]
            self.gate = os.open(f"{path}.gate", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.gate, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Let the next writer in."""
        if self.gate is not None:
            fcntl.flock(self.gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the database and the gate."""
        super().close()
        gate, self.gate = self.gate, None
        if gate is not None:
            os.close(gate)


def normal_url(url: sa.URL) -> sa.URL:
    """The URL itself; raises errors.BadConfiguration without a file, since processes share the database."""
    if not url.database or url.database == ":memory:":
        raise errors.BadConfiguration(reason="a SQLite database needs a file, as in sqlite:////var/lib/breezeblock/breezeblock.db")
    return url.set(drivername="sqlite")


def engine_options(name: str, limits: Limits) -> dict[str, Any]:
    """The waiting for SQLite's own lock is only for programs that know nothing of the gate."""
    connect = {"timeout": limits.lock, "isolation_level": None, "check_same_thread": False, "factory": GatedConnection}
    return {"connect_args": connect, "isolation_level": "AUTOCOMMIT"}


def connect(arguments: Sequence[Any], keywords: dict[str, Any], limits: Limits) -> GatedConnection:
    """Open the file."""
    connection: GatedConnection = sqlite3.connect(*arguments, **keywords)
    return connection


def prepare(raw: GatedConnection, name: str, limits: Limits) -> None:
    """WAL and a sync at each commit; a cache large enough for the hot tables; LIKE that tells 'A' from 'a', as elsewhere."""
    if raw.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise errors.BadConfiguration(reason="SQLite cannot use a write-ahead log here: the file must be on a local filesystem")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    raw.execute("PRAGMA case_sensitive_like=ON")


def begin(raw: GatedConnection) -> None:
    """Wait for the gate, then take the write lock."""
    raw.enter()
    try:
        raw.execute("BEGIN IMMEDIATE")
    except BaseException:
        raw.leave()
        raise


def commit(raw: GatedConnection) -> None:
    """Commit; the gate stays taken if that fails, for the rollback to release."""
    raw.execute("COMMIT")
    raw.leave()


def rollback(raw: GatedConnection) -> None:
    """Roll back and release the gate, whatever the transaction's state."""
    try:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
    finally:
        raw.leave()


def classify(error: BaseException) -> Trouble:
    """Read SQLite's result code."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return Trouble.OTHER
    if code in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
        return Trouble.DUPLICATE
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Trouble.CONTENDED
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR:
            return Trouble.LOST
    return Trouble.OTHER

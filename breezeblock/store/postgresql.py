"""PostgreSQL through psycopg 3: READ COMMITTED, sessions that bound every wait and carry their owner's name (R7, R8)."""

from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen

from breezeblock import errors
from breezeblock.store.dialect import Limits, Trouble

NAME = "postgresql"
T = TypeVar("T")
_NAME_LIMIT = 63
_TICK_SECONDS = 0.1
_CONTENDED = {"40001", "40P01", "55P03"}
_LOST = {"57P01", "57P02", "57P03", "57P05", "53300", "25P03", "25P04", "25006"}
"""Connections that the server ended, or cannot give, and a server that is a standby since a failover."""
_SETTINGS = """SELECT set_config('default_transaction_isolation', 'read committed', false),
set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),
set_config('idle_in_transaction_session_timeout', %s, false), current_setting('synchronous_commit')"""


def normal_url(url: sa.URL) -> sa.URL:
    """The URL with psycopg as its driver."""
    return url.set(drivername="postgresql+psycopg")


class PatientConnection(psycopg.Connection[Any]):
    """A connection that takes a server for lost when it does not answer in time, since it may hang with its sockets open."""

    patience = 4.0

    def wait(self, gen: PQGen[T], interval: float = _TICK_SECONDS, timeout: float | None = None) -> T:
        """Drive one exchange with the server. Raises psycopg.OperationalError after ``patience`` seconds without an end."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - psycopg's only name for it
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {self.patience:g} seconds") from None


def engine_options(name: str, limits: Limits) -> dict[str, Any]:
    """Sessions named after their owner; prepared statements; among several hosts, the one that accepts writes."""
    connect = {
        "application_name": name[:_NAME_LIMIT],
        "connect_timeout": max(2, round(limits.connect)),
        "tcp_user_timeout": round(1000 * (limits.statement + limits.answer)),
        "target_session_attrs": "read-write",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "prepare_threshold": 2,
        "autocommit": True,
    }
    return {"connect_args": connect, "isolation_level": "AUTOCOMMIT", "use_native_hstore": False}


def connect(arguments: Sequence[Any], keywords: dict[str, Any], limits: Limits) -> PatientConnection:
    """Connect."""
    connection = PatientConnection.connect(*arguments, **keywords)
    connection.patience = limits.statement + limits.answer
    return connection


def prepare(raw: "psycopg.Connection[Any]", name: str, limits: Limits) -> None:
    """One round trip: the session's bounds, and the check that a commit is on disk when it is acknowledged."""
    times = [f"{round(1000 * seconds)}ms" for seconds in (limits.statement, limits.lock, limits.idle_in_transaction)]
    row = raw.execute(_SETTINGS, times).fetchone()
    if row is None or row[-1] == "off":
        raise errors.BadConfiguration(
            reason="PostgreSQL runs with synchronous_commit=off, so that a commit it acknowledged may be lost."
            " Set synchronous_commit=on for this server, database and role"
        )


def begin(raw: "psycopg.Connection[Any]") -> None:
    """Leave autocommit mode: BEGIN goes out just before the first statement."""
    raw.autocommit = False


def commit(raw: "psycopg.Connection[Any]") -> None:
    """Commit."""
    raw.commit()
    raw.autocommit = True


def rollback(raw: "psycopg.Connection[Any]") -> None:
    """Roll back."""
    raw.rollback()
    raw.autocommit = True


def classify(error: BaseException) -> Trouble:
    """Read the SQLSTATE; an error without one came from the connection."""
    if not isinstance(error, psycopg.Error):
        return Trouble.OTHER
    state = error.sqlstate
    if state in _CONTENDED:
        return Trouble.CONTENDED
    if state == "57014":
        return Trouble.SLOW
    if state == "23505":
        return Trouble.DUPLICATE
    if state is None:
        return Trouble.LOST if isinstance(error, psycopg.OperationalError) else Trouble.OTHER
    return Trouble.LOST if state in _LOST or state.startswith("08") else Trouble.OTHER

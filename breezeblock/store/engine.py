"""The only opener of transactions (protocol rule R7).

A write transaction is tried again as a whole, in this one place, when the database says that it was
in another's way or that the connection broke. Whatever error the database reports, the whole
transaction is rolled back, never a part. Nothing but SQL belongs inside: no driver call, no wait.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

import orjson
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.store.dialect import Dialect, Limits, Trouble, dialect_of

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Frame:
    """What the engine keeps of one transaction."""

    connection: sa.Connection
    writes: bool
    actions: list[Callable[[], None]] = field(default_factory=list)
    error: sa.exc.DBAPIError | None = None


class Tx:
    """One transaction. Lives as long as the ``work`` that got it."""

    __slots__ = ("_frame", "dialect", "rerun")

    def __init__(self, frame: _Frame, dialect: str, *, rerun: bool = False) -> None:
        self.dialect = dialect
        self.rerun = rerun
        """An earlier attempt may have committed: insert the row whose id was made beforehand first."""
        self._frame = frame

    def execute(self, statement: sa.Executable, parameters: Parameters | None = None) -> sa.CursorResult[Any]:
        """Execute one statement. After a database error the transaction can only roll back, even if the error is caught."""
        if not self._frame.writes and getattr(statement, "is_dml", False):
            raise RuntimeError("a read transaction was asked to write")
        try:
            return self._frame.connection.execute(statement, parameters)
        except sa.exc.DBAPIError as error:
            self._frame.error = error
            raise

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call ``action`` once the commit succeeded, in order of asking; never after a rollback. Its errors are logged."""
        self._frame.actions.append(action)


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    value: T
    actions: Sequence[Callable[[], None]]

    def finish(self) -> T:
        for action in self.actions:
            try:
                action()
            except Exception:  # noqa: BLE001 - whatever a hint does, the commit stands
                _log.exception("an action after a commit failed")
        return self.value


class _CommitUnknownError(Exception):
    """The connection broke while it committed."""

    def __init__(self, outcome: _Outcome[Any]) -> None:
        super().__init__()
        self.outcome = outcome


def _nowhere(point: str) -> None:
    """Production's fault point."""


class Store:
    """The database. ``name`` is the incarnation, or the role, that the server's sessions are named after.

    Raises errors.BadConfiguration for a URL that cannot be used; nothing is connected before the first transaction.
    """

    def __init__(self, url: str, *, name: str, reach: Callable[[str], None] = _nowhere, limits: Limits | None = None) -> None:
        self._database: Dialect = dialect_of(url)
        self.dialect = self._database.NAME
        self.url = self._database.normal_url(sa.make_url(url))
        self.name = name
        self._reach = reach
        self._limits = limits or Limits()
        self._engine = self._create()

    def _create(self) -> sa.Engine:
        limits, database, name = self._limits, self._database, self.name

        def prepare(raw: Any, _record: Any) -> None:
            database.prepare(raw, name, limits)

        engine = sa.create_engine(
            self.url,
            poolclass=sa.QueuePool,
            pool_size=limits.pool_size,
            max_overflow=limits.pool_overflow,
            pool_timeout=limits.pool_wait,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            skip_autocommit_rollback=True,
            json_serializer=_dump,
            json_deserializer=orjson.loads,
            **database.engine_options(self.url, name, limits),
        )
        sa.event.listen(engine, "connect", prepare)
        return engine

    def run(self, name: str, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a write transaction and return its value.

        ``work`` may be called several times, so it makes its ids beforehand. When it is not known whether an
        attempt committed, the next one's duplicate key proves that it had, and that attempt's value is returned.
        Reaches the fault points ``<name>.commit.before`` and ``.after``.
        Raises errors.DatabaseAway when the database cannot be reached, or stays contended, for the bounded time.
        """
        unknown: _Outcome[T] | None = None
        started = time.monotonic()
        for attempt in range(1, self._limits.attempts + 1):
            try:
                return self._attempt(name, work, rerun=unknown is not None).finish()
            except _CommitUnknownError as lost:
                unknown, trouble = lost.outcome, Trouble.LOST
            except sa.exc.DBAPIError as error:
                trouble = self._database.classify(error.orig or error)
                if trouble is Trouble.DUPLICATE and unknown is not None:
                    return unknown.finish()
                if trouble in (Trouble.OTHER, Trouble.DUPLICATE):
                    raise
            if trouble is Trouble.LOST and time.monotonic() - started > self._limits.away:
                break
            _pause(attempt)
        raise errors.DatabaseAway

    def read(self, name: str, work: Callable[[Tx], T]) -> T:
        """Run ``work`` where it can only read, each statement seeing what is committed. Tried again when the connection breaks.

        Raises errors.DatabaseAway when the database cannot be reached for the bounded time.
        """
        started = time.monotonic()
        for attempt in range(1, self._limits.attempts + 1):
            try:
                with self._connect() as connection:
                    return work(Tx(_Frame(connection, writes=False), self.dialect))
            except sa.exc.DBAPIError as error:
                trouble = self._database.classify(error.orig or error)
                if trouble in (Trouble.OTHER, Trouble.DUPLICATE):
                    raise
            if trouble is Trouble.LOST and time.monotonic() - started > self._limits.away:
                break
            _pause(attempt)
        raise errors.DatabaseAway

    def dispose(self) -> None:
        """Close the idle connections. The store can be used again."""
        self._engine.dispose()

    def _connect(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except sa.exc.TimeoutError:
            raise errors.Unavailable(reason="every database connection of this process is busy") from None

    def _attempt(self, name: str, work: Callable[[Tx], T], *, rerun: bool) -> _Outcome[T]:
        with self._connect() as connection:
            raw = connection.connection.driver_connection
            try:
                self._database.begin(raw)
                frame = _Frame(connection, writes=True)
                value = work(Tx(frame, self.dialect, rerun=rerun))
                if frame.error is not None:
                    raise frame.error
                self._reach(f"{name}.commit.before")
            except BaseException as error:  # noqa: BLE001 - it is raised again
                self._give_up(connection, raw, error)
            outcome = _Outcome(value, frame.actions)
            self._commit(connection, raw, outcome)
        self._reach(f"{name}.commit.after")
        return outcome

    def _commit(self, connection: sa.Connection, raw: Any, outcome: _Outcome[Any]) -> None:
        try:
            self._database.commit(raw)
        except Exception as error:
            if self._database.classify(error) is not Trouble.LOST:
                self._give_up(connection, raw, error)
            self._forget(connection)
            raise _CommitUnknownError(outcome) from error
        except BaseException:
            self._forget(connection)
            raise

    def _give_up(self, connection: sa.Connection, raw: Any, error: BaseException) -> NoReturn:
        """Roll back and raise ``error``, in SQLAlchemy's clothes if it is the driver's."""
        try:
            if connection.invalidated or not connection.connection.is_valid:
                raise ConnectionError
            self._database.rollback(raw)
        except Exception:  # noqa: BLE001 - a connection that cannot roll back is of no use, whatever it says
            self._forget(connection)
        dbapi = self._engine.dialect.loaded_dbapi
        if isinstance(error, dbapi.Error):
            if self._database.classify(error) is Trouble.LOST:
                self._forget(connection)
            raise sa.exc.DBAPIError(None, None, error) from error
        raise error

    def _forget(self, connection: sa.Connection) -> None:
        """Never use this connection again, nor those that were opened to the same, now unreachable, server."""
        if not connection.invalidated:
            connection.invalidate()
        self._engine.dispose()


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _pause(attempt: int) -> None:
    """Wait, longer each time and never in step with another process: 1 ms at first, 250 ms at most."""
    time.sleep(random.uniform(0.5, 1.0) * min(0.25, 0.001 * 2**attempt))

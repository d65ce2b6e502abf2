"""The only opener of transactions (protocol rule R7).

A write transaction is tried again as a whole, in this one place, when the database says that it was
in another's way or that the connection broke. Whatever error the database reports, the whole
transaction is rolled back, never a part. Nothing but SQL belongs inside: no driver call, no wait.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.store.dialect import Dialect, Limits, Trouble, dialect_of
from breezeblock.store.transaction import Frame, Outcome, Patience, Tx, Waker, witness_of

__all__ = ["Limits", "Store", "Tx"]

T = TypeVar("T")
_RETRIED = (Trouble.CONTENDED, Trouble.LOST)
_log = logging.getLogger(__name__)


class _CommitUnknownError(Exception):
    """The connection broke while it committed."""

    def __init__(self, frame: Frame, outcome: Outcome[Any]) -> None:
        super().__init__()
        self.frame = frame
        self.outcome = outcome


def _nowhere(point: str) -> None:
    """Production's fault point."""


def _nobody(queues: frozenset[str]) -> None:
    """The waker of a process that has nobody to wake."""


class Store:
    """The database. ``name`` is the incarnation, or the role, that the server's sessions are named after.

    Raises errors.BadConfiguration for a URL that cannot be used; nothing is connected before the first transaction.
    """

    def __init__(self, url: str, *, name: str, reach: Callable[[str], None] = _nowhere, limits: Limits | None = None) -> None:
        self._database: Dialect = dialect_of(url)
        self.dialect = self._database.NAME
        self.url = self._database.normal_url(sa.make_url(url))
        self.name = name
        self.limits = limits or Limits()
        self.waker: Waker = _nobody
        """Set by the composition of a process that sends hints."""
        self._reach = reach
        self.losses = 0
        """How often the server was lost: connections from before are not used again, and what was watched through them proves nothing."""
        self._engine = self._create()
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error

    def run(self, name: str, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a write transaction and return its value.

        ``work`` may be called several times, so it makes its ids beforehand and does nothing but SQL. Reaches the
        fault points ``<name>.commit.before`` and ``.after``. When the connection breaks during the commit, the row that
        the attempt inserted with an id of its own tells whether it had committed; then the attempt's value is returned.

        Raises errors.DatabaseAway when the database cannot be reached for the bounded time; errors.DatabaseBusy when it
        stays contended or slow; errors.OutcomeUnknown when a commit's fate cannot be learned; what ``work`` raises.
        """
        patience = Patience(self.limits)
        rerun = False
        while True:
            try:
                return self._attempt(name, work, rerun=rerun).finish()
            except _CommitUnknownError as lost:
                if self._had_committed(lost.frame, patience):
                    value: T = lost.outcome.finish()
                    return value
                rerun = patience.unsettled = lost.frame.insert is None
            except sa.exc.DBAPIError as error:
                patience.spend(self.trouble(error), error)

    def read(self, name: str, work: Callable[[Tx], T]) -> T:
        """Run ``work`` where it can only read, each statement seeing what is committed. Tried again when the connection breaks.

        Raises errors.DatabaseAway when the database cannot be reached for the bounded time, errors.DatabaseBusy when it is slow.
        """
        patience = Patience(self.limits)
        while True:
            try:
                with self._connect() as connection:
                    frame = Frame(connection, writes=False, waker=self.waker)
                    outcome = Outcome(work(Tx(frame, self.dialect)), frame.actions)
                return outcome.finish()
            except sa.exc.DBAPIError as error:
                self._forget_if_lost(error)
                patience.spend(self.trouble(error), error)

    def trouble(self, error: sa.exc.DBAPIError) -> Trouble:
        """What an error that a transaction raised means."""
        return self._database.classify(error.orig or error)

    def dispose(self) -> None:
        """Close the idle connections. The store can be used again."""
        self._engine.dispose()

    def _create(self) -> sa.Engine:
        limits, database = self.limits, self._database
        engine = sa.create_engine(
            self.url,
            poolclass=sa.QueuePool,
            pool_size=limits.pool_size,
            max_overflow=limits.pool_overflow,
            pool_timeout=limits.pool_wait,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            skip_autocommit_rollback=True,
            hide_parameters=True,
            json_serializer=_dump,
            json_deserializer=orjson.loads,
            **database.engine_options(self.name, limits),
        )

        def connect(_dialect: Any, _record: Any, arguments: Any, keywords: Any) -> Any:
            return database.connect(arguments, keywords, limits)

        def prepare(raw: Any, record: Any) -> None:
            record.info["age"] = self.losses
            database.prepare(raw, self.name, limits)

        def check_age(_raw: Any, record: Any, _proxy: Any) -> None:
            if record.info["age"] != self.losses:
                raise sa.exc.DisconnectionError

        sa.event.listen(engine, "do_connect", connect)
        sa.event.listen(engine, "connect", prepare)
        sa.event.listen(engine, "checkout", check_age)
        return engine

    def _connect(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except sa.exc.TimeoutError:
            raise errors.DatabaseBusy from None

    def _attempt(self, name: str, work: Callable[[Tx], T], *, rerun: bool) -> Outcome[T]:
        with self._connect() as connection:
            frame = Frame(connection, writes=True, waker=self.waker)
            try:
                self._begin(connection)
                value = work(Tx(frame, self.dialect, rerun=rerun))
                if frame.error is not None:
                    raise frame.error
                self._reach(f"{name}.commit.before")
            except BaseException:
                self._abandon(connection)
                if frame.error is not None and self.trouble(frame.error) in _RETRIED:
                    raise frame.error from None
                raise
            outcome = Outcome(value, frame.actions)
            self._commit(connection, frame, outcome)
        self._reach(f"{name}.commit.after")
        return outcome

    def _begin(self, connection: sa.Connection) -> None:
        try:
            self._database.begin(connection.connection.driver_connection)
        except self._driver_error as error:
            wrapped = sa.exc.DBAPIError("BEGIN", None, error)
            self._forget_if_lost(wrapped, connection)
            raise wrapped from error

    def _commit(self, connection: sa.Connection, frame: Frame, outcome: Outcome[Any]) -> None:
        try:
            self._database.commit(connection.connection.driver_connection)
        except self._driver_error as error:
            if self._database.classify(error) is Trouble.CONTENDED:
                self._abandon(connection)
                raise sa.exc.DBAPIError("COMMIT", None, error) from error
            self._forget(connection)
            _log.warning("the outcome of a commit is unknown: %s", error)
            raise _CommitUnknownError(frame, outcome) from error
        except BaseException:
            self._forget(connection)
            raise

    def _had_committed(self, frame: Frame, patience: Patience) -> bool:
        """Whether the transaction whose commit broke had committed; False without a witness.

        Inserting the witness again waits for that transaction, should it still be open on the server, and
        meets its row if it had committed. Raises errors.OutcomeUnknown when the server does not tell.
        """
        witness = witness_of(frame, self._engine.dialect)
        if witness is None:
            return False
        patience.unsettled = True
        while True:
            try:
                with self._connect() as connection:
                    try:
                        self._begin(connection)
                        connection.execute(*witness.insert)
                        return False
                    except sa.exc.DBAPIError as error:
                        if self.trouble(error) is not Trouble.DUPLICATE:
                            raise
                    finally:
                        self._abandon(connection)
                    return connection.execute(witness.exists).first() is not None
            except sa.exc.DBAPIError as error:
                self._forget_if_lost(error)
                patience.spend(self.trouble(error), error)

    def _abandon(self, connection: sa.Connection) -> None:
        """Roll all of it back; a connection that cannot do that is never used again."""
        if connection.invalidated:
            self.losses += 1
            return
        try:
            self._database.rollback(connection.connection.driver_connection)
        except self._driver_error:
            self._forget(connection)

    def _forget(self, connection: sa.Connection) -> None:
        """Never use this connection again, nor those that were opened to the same, now lost, server."""
        if not connection.invalidated:
            connection.invalidate()
        self.losses += 1

    def _forget_if_lost(self, error: sa.exc.DBAPIError, connection: sa.Connection | None = None) -> None:
        if self.trouble(error) is Trouble.LOST:
            self.losses += 1
            if connection is not None and not connection.invalidated:
                connection.invalidate()


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()

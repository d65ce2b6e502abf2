"""One transaction, as those who work in it see it, and how long the engine goes on trying it."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.store.dialect import Limits, Trouble

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
_UUID_LENGTH = 36
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Witness:
    """An INSERT of a row whose id was made beforehand: the row proves that the transaction committed."""

    insert: tuple[sa.Insert, Parameters | None]
    exists: sa.Select[Any]


Waker = Callable[[frozenset[str]], None]
"""Sends wake-up hints for queues; called after a commit, outside of any transaction."""


@dataclass(slots=True)
class Frame:
    """What the engine keeps of one attempt at a transaction."""

    connection: sa.Connection
    writes: bool
    waker: Waker
    actions: list[Callable[[], None]] = field(default_factory=list)
    hints: set[str] = field(default_factory=set)
    error: sa.exc.DBAPIError | None = None
    insert: tuple[sa.Insert, Parameters | None] | None = None
    """The first one of a row whose id was made beforehand."""


class Tx:
    """One transaction. Lives as long as the ``work`` that got it."""

    __slots__ = ("_frame", "dialect", "rerun")

    def __init__(self, frame: Frame, dialect: str, *, rerun: bool = False) -> None:
        self.dialect = dialect
        self.rerun = rerun
        """An earlier attempt, which inserted no row with an id made beforehand, may have committed."""
        self._frame = frame

    def execute(self, statement: sa.Executable, parameters: Parameters | None = None) -> sa.CursorResult[Any]:
        """Execute one statement. After a database error the transaction can only roll back, even if the error is caught."""
        frame = self._frame
        if getattr(statement, "is_dml", False):
            if not frame.writes:
                raise RuntimeError("a read transaction was asked to write")
            if frame.insert is None and type(statement) is sa.Insert and names_a_row(statement):
                frame.insert = (statement, parameters)
        try:
            return frame.connection.execute(statement, parameters)
        except sa.exc.DBAPIError as error:
            frame.error = error
            raise

    def has_table(self, name: str) -> bool:
        """Whether the database has a table of this name."""
        return bool(sa.inspect(self._frame.connection).has_table(name))

    @property
    def connection_for_migrations(self) -> sa.Connection:
        """The bare connection. Only for :mod:`breezeblock.store.schema`: what goes through it is not watched."""
        return self._frame.connection

    def after_commit(self, action: Callable[[], None]) -> None:
        """Call ``action`` once the commit succeeded, in order of asking; never after a rollback. Its errors are logged."""
        self._frame.actions.append(action)

    def wake(self, queue: str) -> None:
        """Hint, once the commit succeeded, that ``queue`` may have work: the store's waker gets all hints of a transaction at once (R7)."""
        frame = self._frame
        if not frame.hints:
            frame.actions.append(lambda: frame.waker(frozenset(frame.hints)))
        frame.hints.add(queue)

    def row(self, statement: sa.Executable) -> Mapping[str, Any] | None:
        """The only row of a query by its columns' names, or None."""
        return cast("Mapping[str, Any] | None", self.execute(statement).mappings().one_or_none())

    def rows(self, statement: sa.Executable) -> Sequence[Mapping[str, Any]]:
        """The rows of a query by their columns' names."""
        return cast("Sequence[Mapping[str, Any]]", self.execute(statement).mappings().all())


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What an attempt that reached its commit returned."""

    value: T
    actions: Sequence[Callable[[], None]]

    def finish(self) -> T:
        """Do what was asked for after the commit."""
        for action in self.actions:
            try:
                action()
            except Exception:  # noqa: BLE001 - whatever a hint does, the commit stands
                _log.exception("an action after a commit failed")
        return self.value


class Patience:
    """How often and how long one transaction is tried. The pauses grow and are never in step with another process's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started = time.monotonic()
        self._attempts = 0
        self.unsettled = False
        """A commit may have happened that nobody knows of."""

    def spend(self, trouble: Trouble, error: sa.exc.DBAPIError) -> None:
        """Return when it is time to try again.

        Raises errors.DatabaseAway, DatabaseBusy or OutcomeUnknown when it was tried for long enough, ``error``
        itself when no repetition helps.
        """
        self._attempts += 1
        spent = time.monotonic() - self._started
        patience = self._limits.away if trouble is Trouble.LOST and not self.unsettled else self._limits.contended
        if trouble in (Trouble.CONTENDED, Trouble.LOST) and spent < patience:
            longest = min(0.25, 0.001 * 2**self._attempts)
            time.sleep(random.uniform(longest / 2, longest))
            return
        if trouble in (Trouble.DUPLICATE, Trouble.OTHER):
            raise error
        _log.warning("gave up a transaction after %d attempts and %.1f s: %s", self._attempts, spent, error.orig)
        if self.unsettled:
            raise errors.OutcomeUnknown from error
        raise (errors.DatabaseAway if trouble is Trouble.LOST else errors.DatabaseBusy) from error


def names_a_row(insert: sa.Insert) -> bool:
    """Whether ``insert`` is of a table whose ids are UUIDs, made beforehand. Asked at each INSERT, so it compiles nothing."""
    table = insert.table
    column = table.c.get("id") if isinstance(table, sa.Table) and insert.select is None else None
    return column is not None and isinstance(column.type, sa.String) and column.type.length == _UUID_LENGTH


def witness_of(frame: Frame, dialect: sa.Dialect) -> Witness | None:
    """The witness among what the transaction inserted, if it has one."""
    if frame.insert is None:
        return None
    insert, parameters = frame.insert
    row = parameters if isinstance(parameters, Mapping) else parameters[0] if parameters else insert.compile(dialect=dialect).params
    identity = row.get("id")
    return Witness(frame.insert, sa.select(sa.literal(1)).where(insert.table.c.id == identity)) if identity else None

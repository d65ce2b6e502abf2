"""Two or more real transactions, statement by statement, in the order that a test says.

    with interleaved(database) as (first, second):
        first.start(lambda tx: create_snapshot(tx, volume_id))    # runs until its first statement
        second.start(lambda tx: delete(tx, volume_id))
        first.step()                                              # executes one statement
        assert second.step() is Step.WAITS                        # the database makes it wait
        first.finish()                                            # all the rest, and the commit
        second.finish()

Each participant has a thread and a store of its own. A statement that does not end is looked up in the
database's own list of lock waits. On SQLite a whole transaction waits at the gate before its first statement.
"""

import contextlib
import enum
import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.store.engine import Limits, Store, Tx

_BOUND_SECONDS = 20.0
_POSTGRESQL_WAITS = sa.text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND wait_event_type = 'Lock'")


class Step(enum.Enum):
    """What became of a step."""

    DONE = "the statement is executed"
    WAITS = "the database makes the statement wait for another transaction"
    ENDED = "there was no further statement: the transaction has committed, or failed"


class Participant:
    """One transaction under the test's control."""

    def __init__(self, url: str, name: str, watcher: Store) -> None:
        self.name = name
        self._store = Store(url, name=name, limits=Limits(lock=10, statement=15, idle_in_transaction=60, contended=15))
        self._watcher = watcher
        self._allowed = threading.Semaphore(0)
        self._changed = threading.Condition()
        self._at = "new"
        self._done = 0
        self._free = False
        self._session: int | None = None
        self._thread: threading.Thread | None = None
        self.value: Any = None
        self.error: Exception | None = None

    def start(self, work: Callable[[Tx], Any]) -> Step:
        """Begin the transaction; returns when it stands before its first statement (or at SQLite's gate)."""
        self._thread = threading.Thread(target=self._run, args=(work,), name=self.name, daemon=True)
        self._thread.start()
        return self._settle(0)

    def step(self) -> Step:
        """Let one statement go, and tell what became of it. A statement that waited and can go on is waited for."""
        done = self._done
        if self._at != "executing":
            self._allowed.release()
        return self._settle(done + 1)

    def free(self) -> None:
        """Let everything go, without waiting for the end."""
        self._free = True
        self._allowed.release()

    def finish(self) -> Any:
        """Let everything go, commit, and return the transaction's value, or raise what it raised."""
        self.free()
        assert self._thread is not None
        self._thread.join(_BOUND_SECONDS)
        assert not self._thread.is_alive(), f"{self.name} does not end"
        if self.error is not None:
            raise self.error
        return self.value

    def close(self) -> None:
        """Let it run to its end, whatever that is."""
        if self._thread is not None:
            with contextlib.suppress(Exception):
                self.finish()
        self._store.dispose()

    def _run(self, work: Callable[[Tx], Any]) -> None:
        try:
            self.value = self._store.run(self.name, lambda tx: work(_Stepped(tx, self)))
        except Exception as error:  # noqa: BLE001 - finish() raises it
            self.error = error
        self._now("ended")

    def _settle(self, done: int) -> Step:
        deadline = time.monotonic() + _BOUND_SECONDS
        while time.monotonic() < deadline:
            with self._changed:
                self._changed.wait_for(lambda: self._at == "ended" or (self._at == "before" and self._done >= done), 0.05)
                if self._at == "ended":
                    return Step.ENDED
                if self._at == "before" and self._done >= done:
                    return Step.DONE
            if self._waits():
                return Step.WAITS
        raise AssertionError(f"{self.name} neither ends its statement nor waits for a lock")

    def _waits(self) -> bool:
        if self._watcher.dialect == "sqlite":
            return self._at == "new" and _gate_is_taken(self._watcher)
        if self._watcher.dialect == "postgresql":
            return bool(self._watcher.read("lock waits", lambda tx: tx.execute(_POSTGRESQL_WAITS, {"name": self.name}).scalar_one()))
        status = self._watcher.read("lock waits", lambda tx: tx.execute(sa.text("SHOW ENGINE INNODB STATUS")).mappings().one())
        transactions = str(status["Status"]).split("---TRANSACTION ")
        return any("LOCK WAIT" in one and f"thread id {self._session}," in one for one in transactions)

    def _now(self, at: str, *, executed: int = 0) -> None:
        with self._changed:
            self._at = at
            self._done += executed
            self._changed.notify_all()


def _gate_is_taken(store: Store) -> bool:
    with Path(f"{store.url.database}.gate").open("w") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class _Stepped(Tx):
    """A transaction whose every statement waits for the test's word."""

    __slots__ = ("_participant",)

    def __init__(self, tx: Tx, participant: Participant) -> None:
        super().__init__(tx._frame, tx.dialect, rerun=tx.rerun)
        self._participant = participant
        if tx.dialect == "mysql":
            participant._session = super().execute(sa.text("SELECT CONNECTION_ID()")).scalar_one()

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        participant = self._participant
        participant._now("before")
        if not participant._free:
            assert participant._allowed.acquire(timeout=_BOUND_SECONDS * 3), f"{participant.name} was not told to go on"
        participant._now("executing")
        try:
            return super().execute(statement, parameters)
        finally:
            participant._now("executed", executed=1)


@contextlib.contextmanager
def interleaved(url: str, count: int = 2) -> Iterator[tuple[Participant, ...]]:
    """``count`` participants on the database at ``url``; those that a failed test left are run to their end."""
    watcher = Store(url, name="watcher")
    participants = tuple(Participant(url, f"participant-{number}", watcher) for number in range(1, count + 1))
    try:
        yield participants
    finally:
        for participant in participants:
            participant.free()
        for participant in participants:
            participant.close()
        watcher.dispose()

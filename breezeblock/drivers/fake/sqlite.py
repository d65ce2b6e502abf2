"""The fake backend's memory in a SQLite file of its own, which several processes share.

Nothing here survives a crash of the machine (``synchronous=OFF``): a fake has nothing to lose, and
its calls must stay cheap. It is never the service's own database.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from breezeblock.drivers.fake.store import Action, FakeObject, Outcome, Phase, Record, Rule
from breezeblock.drivers.interface import Effect, Token

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects
  (name TEXT PRIMARY KEY, resource_id TEXT, job_id TEXT, epoch INTEGER, size_gib INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pages
  (name TEXT, page INTEGER, bytes BLOB, PRIMARY KEY (name, page)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens
  (resource_id TEXT PRIMARY KEY, db_term INTEGER, generation INTEGER, epoch INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records
  (seq INTEGER PRIMARY KEY, method TEXT, effect TEXT, resource_id TEXT, job_id TEXT, token TEXT, outcome TEXT);
CREATE TABLE IF NOT EXISTS rules
  (number INTEGER PRIMARY KEY, method TEXT, action TEXT, value TEXT, resource_id TEXT, phase TEXT, times INTEGER, struck INTEGER,
   dropped INTEGER);
CREATE TABLE IF NOT EXISTS used (id INTEGER PRIMARY KEY, gib INTEGER);
INSERT OR IGNORE INTO used VALUES (1, 0);
"""
_POLL_SECONDS = 0.01


class SqliteStore:
    """One connection, used under a lock by the threads of this process; other processes have their own."""

    def __init__(self, path: str | Path, remember: int = 100_000) -> None:
        """Open or make the file at ``path``; ``remember`` bounds the record of calls."""
        self._lock = threading.Lock()
        self._remember = remember
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        with self.session():
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def session(self) -> Iterator["SqliteStore"]:
        """Hold this process's lock and SQLite's write lock."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self
            finally:
                self._db.execute("COMMIT")

    def get(self, name: str) -> FakeObject | None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        row = self._db.execute("SELECT resource_id, job_id, epoch, size_gib FROM objects WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        pages = dict(self._db.execute("SELECT page, bytes FROM pages WHERE name = ?", (name,)).fetchall())
        return FakeObject(name, row[0], row[1], row[2], row[3], pages)

    def put(self, found: FakeObject) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        self.drop(found.name)
        row = (found.name, found.resource_id, found.job_id, found.epoch, found.size_gib)
        self._db.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?)", row)
        if found.blocks:
            self._db.executemany("INSERT INTO pages VALUES (?, ?, ?)", [(found.name, page, data) for page, data in found.blocks.items()])
        self._db.execute("UPDATE used SET gib = gib + ?", (found.size_gib,))

    def drop(self, name: str) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        gone = self._db.execute("SELECT size_gib FROM objects WHERE name = ?", (name,)).fetchone()
        if gone is not None:
            self._db.execute("DELETE FROM objects WHERE name = ?", (name,))
            self._db.execute("DELETE FROM pages WHERE name = ?", (name,))
            self._db.execute("UPDATE used SET gib = gib - ?", gone)

    def used_gib(self) -> int:
        """The sum of all objects' sizes, kept as they change."""
        return int(self._db.execute("SELECT gib FROM used").fetchone()[0])

    def seen(self, resource_id: str) -> Token | None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        row = self._db.execute("SELECT db_term, generation, epoch FROM tokens WHERE resource_id = ?", (resource_id,)).fetchone()
        return Token(*row) if row else None

    def see(self, resource_id: str, token: Token) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        self._db.execute("REPLACE INTO tokens VALUES (?, ?, ?, ?)", (resource_id, token.db_term, token.generation, token.epoch))

    def log(self, record: Record) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        done = self._db.execute(
            "INSERT INTO records (method, effect, resource_id, job_id, token, outcome) VALUES (?, ?, ?, ?, ?, ?)",
            (record.method, record.effect.value, record.resource_id, record.job_id, str(record.token or ""), record.outcome.value),
        )
        self._db.execute("DELETE FROM records WHERE seq <= ?", ((done.lastrowid or 0) - self._remember,))

    def objects(self) -> Sequence[FakeObject]:
        """All objects, without their pages."""
        with self._lock:
            rows = self._db.execute("SELECT name, resource_id, job_id, epoch, size_gib FROM objects").fetchall()
        return [FakeObject(*row) for row in rows]

    def records(self) -> Sequence[Record]:
        """All calls that are still remembered, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT method, effect, resource_id, job_id, token, outcome FROM records ORDER BY seq").fetchall()
        return [
            Record(method, Effect(effect), resource, job, Token(*map(int, token.split("."))) if token else None, Outcome(outcome))
            for method, effect, resource, job, token, outcome in rows
        ]

    def add_rule(self, rule: Rule) -> int:
        """Lay trouble, for every process that uses the file."""
        with self.session():
            done = self._db.execute(
                "INSERT INTO rules (method, action, value, resource_id, phase, times, struck, dropped) VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
                (rule.method, rule.action.value, rule.value, rule.resource_id, rule.phase.value, rule.times),
            )
        return int(done.lastrowid or 0)

    def drop_rule(self, number: int) -> None:
        """Take a rule away."""
        with self.session():
            self._db.execute("UPDATE rules SET dropped = 1 WHERE number = ?", (number,))

    def struck(self, number: int) -> int:
        """How many calls the rule has met."""
        with self._lock:
            return int(self._db.execute("SELECT struck FROM rules WHERE number = ?", (number,)).fetchone()[0])

    def take_rule(self, method: str, resource_id: str, phase: Phase) -> tuple[int, Rule] | None:
        """The oldest rule that meets this moment; one read where no rule was laid."""
        with self._lock:
            if self._db.execute("SELECT 1 FROM rules WHERE struck < times AND NOT dropped LIMIT 1").fetchone() is None:
                return None
        with self.session():
            rows = self._db.execute(
                "SELECT number, method, action, value, resource_id, phase, times FROM rules"
                " WHERE struck < times AND NOT dropped ORDER BY number"
            ).fetchall()
            for number, of, action, value, resource, when, times in rows:
                rule = Rule(of, Action(action), value, resource, Phase(when), times)
                if rule.meets(method, resource_id, phase):
                    self._db.execute("UPDATE rules SET struck = struck + 1 WHERE number = ?", (number,))
                    return number, rule
        return None

    def wait_dropped(self, number: int, seconds: float) -> bool:
        """Wait until the rule was taken away, by whichever process."""
        return self._wait("SELECT dropped FROM rules WHERE number = ?", number, seconds)

    def wait_struck(self, number: int, seconds: float) -> bool:
        """Wait until a call met the rule; for tests."""
        return self._wait("SELECT struck FROM rules WHERE number = ?", number, seconds)

    def _wait(self, question: str, number: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            with self._lock:
                if self._db.execute(question, (number,)).fetchone()[0]:
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)

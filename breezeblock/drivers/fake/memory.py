"""The fake backend's memory inside one process: no I/O at all, for the simulation and for benchmarks."""

import collections
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from breezeblock.drivers.fake.store import FakeObject, Phase, Record, Rule
from breezeblock.drivers.interface import Token


class MemoryStore:
    """Objects, tokens, calls and rules in dictionaries. Also its own session: it is used under its lock only."""

    def __init__(self, remember: int = 100_000) -> None:
        """``remember`` bounds the record of calls; the oldest are forgotten first."""
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._objects: dict[str, FakeObject] = {}
        self._used_gib = 0
        self._tokens: dict[str, Token] = {}
        self._records: collections.deque[Record] = collections.deque(maxlen=remember)
        self._rules: dict[int, Rule] = {}
        self._struck: dict[int, int] = {}

    @contextmanager
    def session(self) -> Iterator["MemoryStore"]:
        """Hold the lock."""
        with self._lock:
            yield self

    def get(self, name: str) -> FakeObject | None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        return self._objects.get(name)

    def put(self, found: FakeObject) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        self.drop(found.name)
        self._objects[found.name] = found
        self._used_gib += found.size_gib

    def drop(self, name: str) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        gone = self._objects.pop(name, None)
        self._used_gib -= gone.size_gib if gone else 0

    def used_gib(self) -> int:
        """The sum of all objects' sizes, kept as they change."""
        return self._used_gib

    def seen(self, resource_id: str) -> Token | None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        return self._tokens.get(resource_id)

    def see(self, resource_id: str, token: Token) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        self._tokens[resource_id] = token

    def log(self, record: Record) -> None:
        """See :class:`breezeblock.drivers.fake.store.Session`."""
        self._records.append(record)

    def objects(self) -> Sequence[FakeObject]:
        """All objects."""
        with self._lock:
            return list(self._objects.values())

    def records(self) -> Sequence[Record]:
        """All calls that are still remembered, oldest first."""
        with self._lock:
            return list(self._records)

    def add_rule(self, rule: Rule) -> int:
        """Lay trouble."""
        with self._changed:
            number = len(self._struck) + 1
            self._rules[number], self._struck[number] = rule, 0
            return number

    def drop_rule(self, number: int) -> None:
        """Take a rule away."""
        with self._changed:
            self._rules.pop(number, None)
            self._changed.notify_all()

    def struck(self, number: int) -> int:
        """How many calls the rule has met."""
        with self._changed:
            return self._struck[number]

    def take_rule(self, method: str, resource_id: str, phase: Phase) -> tuple[int, Rule] | None:
        """The oldest rule that meets this moment; costs nothing where no rule was laid."""
        if not self._rules:
            return None
        with self._changed:
            for number, rule in self._rules.items():
                if rule.meets(method, resource_id, phase) and self._struck[number] < rule.times:
                    self._struck[number] += 1
                    self._changed.notify_all()
                    return number, rule
        return None

    def wait_dropped(self, number: int, seconds: float) -> bool:
        """Wait until the rule was taken away."""
        with self._changed:
            return self._changed.wait_for(lambda: number not in self._rules, seconds)

    def wait_struck(self, number: int, seconds: float) -> bool:
        """Wait until a call met the rule; for tests."""
        with self._changed:
            return self._changed.wait_for(lambda: self._struck[number] > 0, seconds)

"""What the fake backend remembers: objects, the highest token of each resource, every call, and rules for trouble.

A store is the "hardware" of the fake: it outlives the drivers that are built upon it, and several
drivers (of one process with the memory store, of several with the SQLite store) may share one.
It decides nothing about tokens; it only makes a session atomic.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from breezeblock.drivers.interface import Effect, Token


class Phase(enum.Enum):
    """When a rule strikes: before the effect, or after it and before the answer."""

    BEFORE = "before"
    AFTER = "after"


class Action(enum.Enum):
    """What a rule does to a call."""

    FAIL = "fail"
    """Raise the error whose code is the rule's ``value``, such as ``driver.no_space``."""
    DELAY = "delay"
    """Wait the rule's ``value`` in seconds."""
    HOLD = "hold"
    """Wait until the rule is taken away, at most ``value`` seconds (60 without one): how a call is made to apply late."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Trouble for the next ``times`` calls of ``method`` (``*``: any) on ``resource_id`` (``*``: any)."""

    method: str
    action: Action
    value: str = ""
    resource_id: str = "*"
    phase: Phase = Phase.BEFORE
    times: int = 1

    def meets(self, method: str, resource_id: str, phase: Phase) -> bool:
        """Whether the rule is about this moment of this call."""
        return self.phase is phase and self.method in ("*", method) and self.resource_id in ("*", resource_id)


@dataclasses.dataclass(frozen=True, slots=True)
class FakeObject:
    """One object of the backend. ``blocks`` maps page numbers to pages of 4,096 bytes; what is absent reads as zeros."""

    name: str
    resource_id: str
    job_id: str
    epoch: int
    size_gib: int
    blocks: Mapping[int, bytes] = dataclasses.field(default_factory=dict)


class Outcome(enum.Enum):
    """What became of a call."""

    APPLIED = "applied"
    REFUSED = "refused"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One call as the backend saw it. The order of records is the order in which effects took place."""

    method: str
    effect: Effect
    resource_id: str
    job_id: str
    token: Token | None
    outcome: Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class LateEffect:
    """A call that took effect after one with a higher token of the same resource."""

    late: Record
    newest: Token


class Session(Protocol):
    """The store within one atomic step."""

    def get(self, name: str) -> FakeObject | None:
        """The object called ``name``."""

    def put(self, found: FakeObject) -> None:
        """Store an object, in place of one of the same name."""

    def drop(self, name: str) -> None:
        """Forget an object; one that is unknown already is no error."""

    def used_gib(self) -> int:
        """The sum of all objects' sizes."""

    def seen(self, resource_id: str) -> Token | None:
        """The highest token remembered for a resource."""

    def see(self, resource_id: str, token: Token) -> None:
        """Remember a token."""

    def log(self, record: Record) -> None:
        """Append to the record of calls."""


class FakeStore(Protocol):
    """Where a fake backend lives."""

    def session(self) -> AbstractContextManager[Session]:
        """An atomic step: nobody else's session runs meanwhile, and an exception undoes nothing but ends it."""

    def objects(self) -> Sequence[FakeObject]:
        """All objects."""

    def records(self) -> Sequence[Record]:
        """All calls that are still remembered, oldest first."""

    def add_rule(self, rule: Rule) -> int:
        """Lay trouble; the number names the rule."""

    def drop_rule(self, number: int) -> None:
        """Take a rule away; a call that it holds goes on."""

    def struck(self, number: int) -> int:
        """How many calls the rule has met, also after it was used up."""

    def take_rule(self, method: str, resource_id: str, phase: Phase) -> tuple[int, Rule] | None:
        """The oldest rule that meets this moment and has times left; counts it."""

    def wait_dropped(self, number: int, seconds: float) -> bool:
        """Wait until the rule was taken away; False when ``seconds`` passed first."""


def late_effects(records: Iterable[Record], effects: Iterable[Effect] = (Effect.FENCED, Effect.UNSAFE)) -> Sequence[LateEffect]:
    """The calls of these effect classes that applied after a higher token of their resource had applied.

    A PRIVATE or COMMUTES call may rightly come late, so a checker asks about the other classes only.
    """
    wanted = frozenset(effects)
    newest: dict[str, Token] = {}
    found = []
    for record in records:
        if record.outcome is not Outcome.APPLIED or record.token is None:
            continue
        top = newest.get(record.resource_id)
        if top is not None and record.token < top:
            if record.effect in wanted:
                found.append(LateEffect(record, top))
        else:
            newest[record.resource_id] = record.token
    return found

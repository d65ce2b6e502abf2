"""The manifest types: what a resource is made of, and what a verb tells the worker.

A resource's ``__init__`` holds one :class:`Resource` and nothing else. :class:`Registry` is built
from the literal list of resources and passed down; nothing registers itself.
"""

import dataclasses
import enum
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
import sqlalchemy as sa

if TYPE_CHECKING:
    from breezeblock.core.jobs import JobRow
    from breezeblock.core.transitions import Transition
    from breezeblock.core.work import Work
    from breezeblock.store.engine import Tx


class Takeover(enum.Enum):
    """What happens to a job whose holder died (protocol rule R5)."""

    RERUN = "rerun"
    """It runs again from the start or its last checkpoint; its effects are idempotent."""
    ROLL_BACK = "roll_back"
    """It ends as failed, with a message, and without a new driver call."""


class JobClass(enum.StrEnum):
    """Each class has slots of its own in a worker (protocol rule R10)."""

    SYNC = "sync"
    NORMAL = "normal"
    LONG = "long"


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a job must know, as the request knew it. A change of shape is a new :attr:`version` (protocol rule R12)."""

    version: ClassVar[int] = 1

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The payload that a jobs row holds; msgspec.ValidationError when it is not one."""
        return msgspec.convert(stored, cls)

    def stored(self) -> dict[str, Any]:
        """As a jobs row holds it."""
        wire: dict[str, Any] = msgspec.to_builtins(self)
        return wire


@dataclasses.dataclass(frozen=True, slots=True)
class Verb:
    """One operation of one resource, as the workers know it."""

    transition: "Transition"
    payload: type[Payload]
    run: "Callable[[Work, Any], None]"
    """In a worker, fenced. Ends with exactly one ``work.finish`` or an exception."""
    schedule: "Callable[[Work, Any], None] | None" = None
    """In a scheduler, for a job that starts in its queue. Ends with ``work.hand_off``."""
    undo: "Callable[[Tx, JobRow, Any], None] | None" = None
    """In the transaction that ends the job as failed or cancelled: gives back pools and quotas that ``request`` took."""
    takeover: Takeover = Takeover.RERUN
    job_class: JobClass = JobClass.NORMAL

    @property
    def name(self) -> str:
        """The kind of its jobs, as ``volumes.extend``."""
        return self.transition.name


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """One resource: its table and its verbs with jobs."""

    name: str
    table: sa.Table
    verbs: tuple[Verb, ...] = ()
    handles: "Callable[[Tx, str], Collection[Mapping[str, Any]]] | None" = None
    """The handles of all its rows on the backend ``host@backend``; what they refer to is never collected."""


class Registry:
    """All resources of a deployment, looked up by name, and all verbs by kind and payload version."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources: Mapping[str, Resource] = {resource.name: resource for resource in resources}
        self.verbs: Mapping[str, Verb] = {verb.name: verb for resource in self.resources.values() for verb in resource.verbs}

    def table(self, resource_type: str) -> sa.Table:
        """The table of a resource; KeyError for an unknown one."""
        return self.resources[resource_type].table

    def verb_of(self, kind: str, version: int) -> Verb | None:
        """The verb of jobs of this kind; None when this binary does not know it with payloads of this version."""
        verb = self.verbs.get(kind)
        return verb if verb is not None and verb.payload.version == version else None

    def kinds(self) -> Mapping[str, int]:
        """The payload version of every kind that this binary can run."""
        return {name: verb.payload.version for name, verb in self.verbs.items()}

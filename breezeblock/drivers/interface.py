"""What a storage driver is: values, effect classes, and the methods with their promises.

A driver is called by a worker that holds a job. Every method that changes the backend gets a
:class:`Call`, which names the job, its resource and its fence tokens, and declares one
:class:`Effect`. Every method must be **idempotent by resource and job**: a second call for the
same job, with the same or a higher epoch, ends as if there had been one.

A driver never publishes. It returns a *handle*, a small JSON object, and the fenced finish of
the job stores it in the resource's row; an object that no row refers to does not exist for
users and is collected.
"""

import dataclasses
import enum
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from breezeblock import errors

Handle = Mapping[str, Any]
"""What the database remembers of an object: JSON, under 4 kB, without secrets."""

F = TypeVar("F", bound=Callable[..., Any])


class Effect(enum.Enum):
    """How an effect stays harmless when a worker that lost its lease performs it late (protocol rule R1)."""

    PRIVATE = "private"
    """Writes only objects whose name holds resource, job and epoch."""
    COMMUTES = "commutes"
    """Any order and any repetition gives the same end: grow-only, or delete of a name never used again."""
    FENCED = "fenced"
    """The backend refuses a lower token atomically, in the same critical section as the effect."""
    READS = "reads"
    """Changes nothing."""
    UNSAFE = "unsafe"
    """None of these: not for a backend that several workers serve."""


def effect(kind: Effect) -> Callable[[F], F]:
    """Declare the effect class of a driver method; the conformance suite reads and tests it."""

    def mark(function: F) -> F:
        function.effect = kind  # type: ignore[attr-defined]
        return function

    return mark


def effect_of(driver: object, method: str) -> Effect:
    """The declared class of ``driver.method``; a method that declares none is UNSAFE."""
    found: Effect = getattr(getattr(driver, method), "effect", Effect.UNSAFE)
    return found


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Token:
    """The fence token of one resource (protocol rule R2); tokens of one resource are totally ordered."""

    db_term: int
    generation: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.db_term}.{self.generation}.{self.epoch}"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """Who asks: the job, and one token for each resource that it holds a lane of."""

    job_id: str
    tokens: Mapping[str, Token]

    def token(self, resource_id: str) -> Token:
        """The token for ``resource_id``; KeyError when the job holds no lane of it."""
        return self.tokens[resource_id]

    @property
    def epoch(self) -> int:
        """The job's epoch, which all of its tokens share; part of the name of every PRIVATE object."""
        return max(token.epoch for token in self.tokens.values())


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume to be made."""

    id: str
    size_gib: int
    extra_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """A snapshot to be made."""

    id: str
    volume_id: str
    size_gib: int


@dataclasses.dataclass(frozen=True, slots=True)
class SourceAndNew:
    """What a snapshot or clone leaves: the source's handle, changed or not, and the new object's."""

    source: Handle
    new: Handle


@dataclasses.dataclass(frozen=True, slots=True)
class PoolCapacity:
    """One pool's report. GiB are floats, because filesystems do not end on a GiB."""

    name: str
    total_gib: float
    free_gib: float
    allocated_gib: float
    """What the backend's own objects occupy."""
    thin: bool
    capabilities: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """How the host opens a volume's bytes, for an export or a copy."""

    path: str
    format: str
    """``raw`` or ``qcow2``."""
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class StoredObject:
    """An object found on the backend, with what its name says (rule R1)."""

    name: str
    resource_id: str
    job_id: str
    epoch: int
    size_bytes: int


_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UUID_ONLY = re.compile(_UUID)
_OBJECT_NAME = re.compile(rf"({_UUID})\.({_UUID})\.e(\d{{1,19}})(?:\.[a-z]{{1,8}})?")


def checked_id(value: str) -> str:
    """``value`` if it is a UUID in lower case, so that it can be part of a name; else DriverError. Nothing a user typed becomes a path."""
    if not _UUID_ONLY.fullmatch(value):
        raise errors.DriverError(reason=f"{value!r} is not an id")
    return value


def object_name(resource_id: str, call: Call, part: str = "") -> str:
    """The name of the PRIVATE object that ``call`` makes for ``resource_id``: resource, job and epoch (protocol rule R1).

    ``part``, a short word, tells a second object of the same call from the first.
    """
    return f"{checked_id(resource_id)}.{checked_id(call.job_id)}.e{call.epoch}" + (f".{part}" if part else "")


def parse_object_name(name: str) -> tuple[str, str, int] | None:
    """Resource, job and epoch of a name that :func:`object_name` made; None for any other name."""
    found = _OBJECT_NAME.fullmatch(name)
    return (found[1], found[2], int(found[3])) if found else None


@runtime_checkable
class LiveImages(Protocol):
    """The daemons that hold images open; a driver asks it before it touches an image in place.

    A driver hands in its job's fence token for the volume wherever it can: the exports of this host then
    refuse a late caller of theirs whom the driver's own fence has never met (protocol rule R2).
    """

    def offline(self, volume_id: str, token: Token | None = None) -> Any:
        """A context manager that holds the volume's export lock, so that no daemon can start.

        Raises ObjectBusy when one runs, Fenced for a late caller.
        """

    def running(self, volume_id: str, token: Token | None = None) -> bool:
        """Whether a daemon of this host has the volume open. With a token, Fenced for a late caller."""

    def switch_to_overlay(self, volume_id: str, overlay_path: str, token: Token | None = None) -> None:
        """Make ``overlay_path`` the active layer, atomically and crash-consistently. Repeating it is harmless.

        ``overlay_path`` is an existing qcow2 file whose backing file is the open image.
        """

    def resize(self, volume_id: str, size_bytes: int, token: Token | None = None) -> None:
        """Grow the open image and what the clients see; never shrinks."""


class NamedLocks(Protocol):
    """Locks for a driver whose storage cannot do two things at once. They never replace a fence token (rule R1)."""

    @property
    def distributed(self) -> bool:
        """Whether a lock excludes other hosts."""

    def lock(self, *names: str, timeout: float) -> AbstractContextManager[Any]:
        """Hold all of ``names``; wait for them at most ``timeout`` seconds in all. LockHeld, LocksAway, LockLost."""


class NoLocks:
    """For a driver that was built without a lock service."""

    distributed = False

    def lock(self, *names: str, timeout: float) -> AbstractContextManager[Any]:
        """There are none."""
        raise errors.BadConfiguration(reason=f"a driver asked for the locks {', '.join(names)}, but was given no lock service")


@dataclasses.dataclass(frozen=True, slots=True)
class DriverContext:
    """What a driver is built from: its section's name, its options, and the ports it may use."""

    backend: str
    options: Mapping[str, Any]
    live: LiveImages
    locks: NamedLocks = dataclasses.field(default_factory=NoLocks)


class VolumeDriver(Protocol):
    """A storage backend. Methods may block; the worker bounds them. Errors are DriverError and its subclasses, or Fenced."""

    name: ClassVar[str]
    options: ClassVar[Sequence[Any]]
    """oslo.config options of a section that uses this driver."""
    storage_protocols: ClassVar[Sequence[str]]
    """Export protocols that can serve its images, the default first."""

    def __init__(self, context: DriverContext) -> None: ...

    def setup(self) -> None:
        """Check the backend and prepare it; idempotent, called at start. BadConfiguration or DriverError stops the worker."""

    def pools(self) -> Sequence[PoolCapacity]:
        """The capacity of each pool now."""

    def create(self, call: Call, volume: VolumeSpec) -> Handle:
        """Make an empty volume that reads as zeros. PRIVATE."""

    def create_from_snapshot(self, call: Call, snapshot: Handle, volume: VolumeSpec) -> Handle:
        """Make a volume with the snapshot's bytes; the size may be larger. PRIVATE."""

    def clone(self, call: Call, source_id: str, source: Handle, volume: VolumeSpec) -> SourceAndNew:
        """Make a volume with the bytes that ``source`` has now, crash-consistent if it is attached."""

    def delete(self, call: Call, volume_id: str, handle: Handle | None) -> None:
        """Remove the volume's own objects; what is gone already is no error. Without a handle: nothing was published. COMMUTES."""

    def extend(self, call: Call, volume_id: str, handle: Handle, size_gib: int) -> Handle:
        """Grow to ``size_gib``, attached or not; never shrinks."""

    def snapshot(self, call: Call, source: Handle, snapshot: SnapshotSpec) -> SourceAndNew:
        """Take a snapshot, crash-consistent if the volume is attached."""

    def delete_snapshot(self, call: Call, snapshot_id: str, handle: Handle | None) -> None:
        """Remove what only the snapshot owns; bytes that others need stay. COMMUTES."""

    def revert(self, call: Call, volume_id: str, handle: Handle, snapshot: Handle, size_gib: int) -> Handle:
        """Give a detached volume the snapshot's bytes. PRIVATE: a new object is published by the finish."""

    def image(self, handle: Handle) -> Image:
        """How to open the volume's current bytes. READS."""

    def objects(self) -> Sequence[StoredObject]:
        """Everything of ours that stands on the backend. READS."""

    def referenced(self, handles: Collection[Handle]) -> Collection[str]:
        """The names of all objects that these handles need, backing chains included. READS; must not miss one."""

    def remove(self, names: Collection[str]) -> None:
        """Delete leftovers by name, as :meth:`objects` gave them; what is gone already is no error. COMMUTES."""


MUTATIONS: Sequence[str] = (
    "create",
    "create_from_snapshot",
    "clone",
    "delete",
    "extend",
    "snapshot",
    "delete_snapshot",
    "revert",
    "remove",
)
"""The methods that change a backend; each declares an effect class."""


def unsafe_methods(driver: object) -> Sequence[str]:
    """The mutations of ``driver`` that a late caller could do harm with; a clustered backend refuses them (protocol rule R1)."""
    return [method for method in MUTATIONS if effect_of(driver, method) is Effect.UNSAFE]

"""The fake driver: the whole driver interface upon a :class:`breezeblock.drivers.fake.store.FakeStore`.

For scale tests, benchmarks and the simulation. It keeps pages of bytes when a test writes some, so
it passes the same conformance suite as real storage. It never touches a volume of anybody.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from oslo_config import cfg

from breezeblock import errors
from breezeblock.drivers.fake.memory import MemoryStore
from breezeblock.drivers.fake.sqlite import SqliteStore
from breezeblock.drivers.fake.store import Action, FakeObject, FakeStore, Outcome, Phase, Record, Session
from breezeblock.drivers.interface import (
    Call,
    DriverContext,
    Effect,
    Handle,
    Image,
    PoolCapacity,
    SnapshotSpec,
    SourceAndNew,
    StoredObject,
    Token,
    VolumeSpec,
    effect,
    effect_of,
    object_name,
)

T = TypeVar("T")
_PAGE = 4096
_GIB = 1 << 30
_ERRORS: Mapping[str, Callable[[str], errors.DriverError]] = {
    "driver.failed": lambda what: errors.DriverError(reason=f"a rule of the fake backend struck {what}"),
    "driver.no_space": lambda what: errors.NoSpace(where="the fake backend", what=what),
    "driver.missing": lambda what: errors.ObjectMissing(what=what),
    "driver.busy": lambda what: errors.ObjectBusy(what=what, reason="a rule of the fake backend says so"),
}


class FakeDriver:
    """A backend without storage.

    Beside the declared options it takes two objects, which a configuration file cannot give:
    ``fake_store``, the store to live in, and ``fake_sleep``, what to wait with.
    """

    name: ClassVar[str] = "fake"
    options: ClassVar[Sequence[Any]] = (
        cfg.StrOpt("fake_path", help="SQLite file that several processes share; without it the backend lives in one process's memory."),
        cfg.FloatOpt("fake_latency_seconds", default=0.0, min=0.0, help="How long every changing call takes."),
        cfg.IntOpt("fake_capacity_gib", default=1_000_000, min=0, help="The size of the only pool."),
        cfg.BoolOpt("fake_freezes", default=False, help="A snapshot takes over the volume's object, which gets a new one, as overlays do."),
    )
    storage_protocols: ClassVar[Sequence[str]] = ("fake",)

    def __init__(self, context: DriverContext) -> None:
        given = context.options
        self.backend = context.backend
        self._path: str | None = given.get("fake_path")
        self._store: FakeStore | None = given.get("fake_store")
        self._sleep: Callable[[float], None] = given.get("fake_sleep") or time.sleep
        self._latency = float(given.get("fake_latency_seconds") or 0.0)
        self._capacity = int(given.get("fake_capacity_gib") or 1_000_000)
        self._freezes = bool(given.get("fake_freezes"))

    @property
    def store(self) -> FakeStore:
        """Where the backend lives; opened on first use, so that a process that only forks never holds it."""
        if self._store is None:
            self._store = SqliteStore(self._path) if self._path else MemoryStore()
        return self._store

    def setup(self) -> None:
        """Open the store."""
        self.store.objects()

    def pools(self) -> Sequence[PoolCapacity]:
        """One pool; what objects were given is allocated."""
        with self.store.session() as session:
            used = session.used_gib()
        return [PoolCapacity("fake", float(self._capacity), float(max(0, self._capacity - used)), float(used), thin=False)]

    @effect(Effect.PRIVATE)
    def create(self, call: Call, volume: VolumeSpec) -> Handle:
        """Make an object of the volume's size."""
        return self._perform("create", call, volume.id, lambda session: self._put(session, call, volume.id, volume.size_gib))

    @effect(Effect.PRIVATE)
    def create_from_snapshot(self, call: Call, snapshot: Handle, volume: VolumeSpec) -> Handle:
        """Copy the snapshot's pages."""
        return self._perform(
            "create_from_snapshot", call, volume.id, lambda session: self._copy(session, call, snapshot, volume.id, volume.size_gib)
        )

    @effect(Effect.PRIVATE)
    def clone(self, call: Call, source_id: str, source: Handle, volume: VolumeSpec) -> SourceAndNew:
        """Copy the source's pages; the source does not change."""
        new = self._perform("clone", call, volume.id, lambda session: self._copy(session, call, source, volume.id, volume.size_gib))
        return SourceAndNew(source, new)

    @effect(Effect.COMMUTES)
    def delete(self, call: Call, volume_id: str, handle: Handle | None) -> None:
        """Forget the object."""
        self._forget("delete", call, volume_id, handle)

    @effect(Effect.FENCED)
    def extend(self, call: Call, volume_id: str, handle: Handle, size_gib: int) -> Handle:
        """Grow the object in place."""

        def grow(session: Session) -> Handle:
            found = _found(session, handle)
            self._check_space(session, size_gib - found.size_gib, volume_id)
            session.put(dataclasses.replace(found, size_gib=max(found.size_gib, size_gib)))
            return {**handle, "size_gib": max(found.size_gib, size_gib)}

        return self._perform("extend", call, volume_id, grow)

    @effect(Effect.PRIVATE)
    def snapshot(self, call: Call, source: Handle, snapshot: SnapshotSpec) -> SourceAndNew:
        """Copy the volume's pages, for the snapshot or (``fake_freezes``) for the volume."""
        copy_for = snapshot.volume_id if self._freezes else snapshot.id
        size_gib = int(source["size_gib"])
        copy = self._perform("snapshot", call, snapshot.volume_id, lambda session: self._copy(session, call, source, copy_for, size_gib))
        return SourceAndNew(copy, source) if self._freezes else SourceAndNew(source, copy)

    @effect(Effect.COMMUTES)
    def delete_snapshot(self, call: Call, snapshot_id: str, handle: Handle | None) -> None:
        """Forget the object."""
        self._forget("delete_snapshot", call, snapshot_id, handle)

    @effect(Effect.PRIVATE)
    def revert(self, call: Call, volume_id: str, handle: Handle, snapshot: Handle, size_gib: int) -> Handle:
        """Copy the snapshot's pages into a new object."""
        return self._perform("revert", call, volume_id, lambda session: self._copy(session, call, snapshot, volume_id, size_gib))

    @effect(Effect.READS)
    def image(self, handle: Handle) -> Image:
        """A path that nobody can open; the fake exports nothing."""
        with self.store.session() as session:
            found = _found(session, handle)
        return Image(f"/nonexistent/{found.name}", "raw", int(handle["size_gib"]) * _GIB)

    @effect(Effect.READS)
    def objects(self) -> Sequence[StoredObject]:
        """All objects of the store."""
        return [StoredObject(each.name, each.resource_id, each.job_id, each.epoch, each.size_gib * _GIB) for each in self.store.objects()]

    @effect(Effect.READS)
    def referenced(self, handles: Collection[Handle]) -> Collection[str]:
        """Each handle needs one object."""
        return {str(handle["object"]) for handle in handles}

    @effect(Effect.COMMUTES)
    def remove(self, names: Collection[str]) -> None:
        """Forget these objects."""
        with self.store.session() as session:
            for name in names:
                session.drop(name)

    def write(self, handle: Handle, offset: int, data: bytes) -> None:
        """What a guest would write; ``offset`` in bytes."""
        with self.store.session() as session:
            found = _found(session, handle)
            blocks = dict(found.blocks)
            for position, byte in enumerate(data, offset):
                page = bytearray(blocks.get(position // _PAGE, bytes(_PAGE)))
                page[position % _PAGE] = byte
                blocks[position // _PAGE] = bytes(page)
            session.put(dataclasses.replace(found, blocks=blocks))

    def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """What a guest would read; ``offset`` and ``length`` in bytes."""
        with self.store.session() as session:
            blocks = _found(session, handle).blocks
        first, last = offset // _PAGE, (offset + length - 1) // _PAGE
        pages = b"".join(blocks.get(page, bytes(_PAGE)) for page in range(first, last + 1))
        return pages[offset - first * _PAGE :][:length]

    def _perform(self, method: str, call: Call, resource_id: str, work: Callable[[Session], T]) -> T:
        kind = effect_of(self, method)
        token = call.token(resource_id) if kind is Effect.FENCED else call.tokens.get(resource_id)
        self._strike(method, resource_id, Phase.BEFORE)
        if self._latency:
            self._sleep(self._latency)
        with self.store.session() as session:
            outcome = Outcome.FAILED
            try:
                if token is not None and not _newest(session, resource_id, token) and kind is Effect.FENCED:
                    outcome = Outcome.REFUSED
                    raise errors.Fenced(token=token, resource=resource_id, seen=session.seen(resource_id))
                result = work(session)
                outcome = Outcome.APPLIED
            finally:
                session.log(Record(method, kind, resource_id, call.job_id, token, outcome))
        self._strike(method, resource_id, Phase.AFTER)
        return result

    def _strike(self, method: str, resource_id: str, phase: Phase) -> None:
        struck = self.store.take_rule(method, resource_id, phase)
        if struck is None:
            return
        number, rule = struck
        match rule.action:
            case Action.FAIL:
                raise _ERRORS[rule.value or "driver.failed"](f"{method} of {resource_id}")
            case Action.DELAY:
                self._sleep(float(rule.value))
            case Action.HOLD:
                self.store.wait_dropped(number, float(rule.value or 60))

    def _put(self, session: Session, call: Call, resource_id: str, size_gib: int, blocks: Mapping[int, bytes] | None = None) -> Handle:
        name = object_name(resource_id, call)
        before = session.get(name)
        self._check_space(session, size_gib - (before.size_gib if before else 0), resource_id)
        session.put(FakeObject(name, resource_id, call.job_id, call.epoch, size_gib, blocks or {}))
        return {"object": name, "size_gib": size_gib}

    def _copy(self, session: Session, call: Call, source: Handle, resource_id: str, size_gib: int) -> Handle:
        return self._put(session, call, resource_id, size_gib, _found(session, source).blocks)

    def _check_space(self, session: Session, more_gib: int, what: str) -> None:
        if more_gib > 0 and session.used_gib() + more_gib > self._capacity:
            raise errors.NoSpace(where=f"the fake backend {self.backend}", what=what)

    def _forget(self, method: str, call: Call, resource_id: str, handle: Handle | None) -> None:
        def forget(session: Session) -> None:
            if handle is not None:
                session.drop(str(handle["object"]))

        self._perform(method, call, resource_id, forget)
        if handle is None:
            self.remove([found.name for found in self.store.objects() if found.resource_id == resource_id])


def _found(session: Session, handle: Handle) -> FakeObject:
    found = session.get(str(handle["object"]))
    if found is None:
        raise errors.ObjectMissing(what=str(handle["object"]))
    return found


def _newest(session: Session, resource_id: str, token: Token) -> bool:
    """Whether no higher token was seen; remembers it then. In the session of the effect."""
    seen = session.seen(resource_id)
    if seen is not None and token < seen:
        return False
    session.see(resource_id, token)
    return True

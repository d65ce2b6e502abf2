"""The database's side of the suite: ids, tokens, published handles, and the bytes that each volume should have."""

import dataclasses
import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence

from breezeblock.drivers.conformance.data import Data, ImageData
from breezeblock.drivers.interface import Call, Handle, SnapshotSpec, Token, VolumeDriver, VolumeSpec

GIB = 1 << 30
PAGE = 4096
BORN_WITH = {0: 0x11, GIB // 2: 0x22, GIB // 2 + PAGE: 0, GIB - PAGE: 0x33}
"""What is written to a new volume of the suite, by offset; 0 checks that nothing is there."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is tested: ``build`` gives a new driver, set up, on the same backend each time."""

    build: Callable[[], VolumeDriver]
    data: Data = dataclasses.field(default_factory=ImageData)
    unsafe: Sequence[str] = ()
    """The methods that the driver is known to declare UNSAFE, or no class at all."""


@dataclasses.dataclass
class Resource:
    """A volume or snapshot as its row: what is published, and what its bytes should be."""

    id: str
    size_gib: int
    volume_id: str | None = None
    """Of a snapshot, its volume."""
    handle: Handle | None = None
    bytes: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def published(self) -> Handle:
        """The handle of a resource that has one."""
        if self.handle is None:
            raise LookupError(f"{self.id} was not published")
        return self.handle


@dataclasses.dataclass(frozen=True)
class Job:
    """A job with its lanes' generations; each claim is a call with a higher epoch."""

    id: str
    generations: dict[str, int]

    def call(self, epoch: int = 1) -> Call:
        """What the ``epoch``-th holder gives to the driver."""
        return Call(self.id, {resource: Token(1, generation, epoch) for resource, generation in self.generations.items()})


class World:
    """Everything that a deployment's database would know of one backend."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.driver = subject.build()
        self.volumes: dict[str, Resource] = {}
        self.snapshots: dict[str, Resource] = {}
        self._generations: dict[str, int] = {}
        self._live: set[str] = set()
        self._bytes = itertools.cycle(range(0x80, 0xFF))

    def start(self, *resource_ids: str) -> Job:
        """A new job that holds these lanes and is alive until :meth:`end`."""
        for resource_id in resource_ids:
            self._generations[resource_id] = self._generations.get(resource_id, 0) + 1
        job = Job(str(uuid.uuid4()), {resource_id: self._generations[resource_id] for resource_id in resource_ids})
        self._live.add(job.id)
        return job

    def end(self, job: Job) -> None:
        """The job is no longer alive, finished or not."""
        self._live.discard(job.id)

    def unborn(self, size_gib: int = 1) -> Resource:
        """A volume's row without a handle."""
        row = Resource(str(uuid.uuid4()), size_gib)
        self.volumes[row.id] = row
        return row

    def volume(self, size_gib: int = 1) -> Resource:
        """A volume with some bytes."""
        row = self.unborn(size_gib)
        job = self.start(row.id)
        row.handle = self.driver.create(job.call(), VolumeSpec(row.id, size_gib))
        self.end(job)
        self.write(row, {offset: byte for offset, byte in BORN_WITH.items() if byte})
        row.bytes |= BORN_WITH
        return row

    def unborn_snapshot(self, volume: Resource) -> Resource:
        """A snapshot's row without a handle; its bytes are the volume's of now."""
        row = Resource(str(uuid.uuid4()), volume.size_gib, volume.id, bytes=dict(volume.bytes))
        self.snapshots[row.id] = row
        return row

    def snapshot(self, volume: Resource) -> Resource:
        """A snapshot of the volume."""
        row = self.unborn_snapshot(volume)
        job = self.start(volume.id, row.id)
        left = self.driver.snapshot(job.call(), volume.published, SnapshotSpec(row.id, volume.id, row.size_gib))
        volume.handle, row.handle = left.source, left.new
        self.end(job)
        return row

    def restored(self, snapshot: Resource, size_gib: int | None = None) -> Resource:
        """A new volume made from the snapshot."""
        row = self.unborn(size_gib or snapshot.size_gib)
        row.bytes = dict(snapshot.bytes)
        job = self.start(row.id)
        row.handle = self.driver.create_from_snapshot(job.call(), snapshot.published, VolumeSpec(row.id, row.size_gib))
        self.end(job)
        return row

    def forget(self, row: Resource) -> None:
        """Take a row away, as a delete's finish does."""
        self.volumes.pop(row.id, None)
        self.snapshots.pop(row.id, None)

    def write(self, volume: Resource, pages: Mapping[int, int]) -> None:
        """Write pages as a guest, each full of one byte, by offset; and expect them from now on."""
        self.subject.data.fill(self.driver, volume.published, [(offset, PAGE, byte) for offset, byte in pages.items()])
        volume.bytes |= pages

    def wrong(self) -> Sequence[str]:
        """What is not as it should be with the published volumes: bytes, sizes, and zeros where nothing was written."""
        found = []
        for row in self.volumes.values():
            if row.handle is None:
                continue
            expected = {row.size_gib * GIB - PAGE: 0} | row.bytes
            ranges = [(offset, PAGE, byte) for offset, byte in expected.items()]
            found += [f"volume {row.id}: {what}" for what in self.subject.data.differing(self.driver, row.handle, ranges)]
            size = self.subject.data.size_bytes(self.driver, row.handle)
            if size != row.size_gib * GIB:
                found.append(f"volume {row.id} has {size} bytes and not {row.size_gib} GiB")
        return found

    def check(self) -> None:
        """Volumes are whole, stay whole while each is written to, and each snapshot gives what was taken."""
        assert self.wrong() == []
        for row in [row for row in self.volumes.values() if row.handle is not None]:
            self.write(row, {0: next(self._bytes), 3 * PAGE: next(self._bytes)})
        copies = [self.restored(row) for row in self.snapshots.values() if row.handle is not None]
        assert self.wrong() == []
        for copy in copies:
            job = self.start(copy.id)
            self.driver.delete(job.call(), copy.id, copy.handle)
            self.end(job)
            self.forget(copy)

    def handles(self) -> Sequence[Handle]:
        """All that is published."""
        return [row.handle for row in (*self.volumes.values(), *self.snapshots.values()) if row.handle is not None]

    def unneeded(self) -> Sequence[str]:
        """What a collector may delete: no handle needs it, and its job is not alive."""
        found = self.driver.objects()
        needed = set(self.driver.referenced(self.handles()))
        return sorted(each.name for each in found if each.name not in needed and each.job_id not in self._live)

    def missing(self) -> Sequence[str]:
        """What handles need and the backend lacks."""
        there = {each.name for each in self.driver.objects()}
        return sorted(set(self.driver.referenced(self.handles())) - there)

    def collect(self) -> None:
        """What the collector does; afterwards the backend holds what the database says and nothing else."""
        self.driver.remove(self.unneeded())
        assert self.unneeded() == []
        assert self.missing() == []

"""What the file driver does with qcow2 volumes: layers upon layers.

A snapshot freezes the volume's top file, which becomes the snapshot's, and the volume goes on in a
new, private overlay. No file that somebody else depends on is ever written, renamed or deleted
here: what nobody needs any more is left to the collector.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from breezeblock.drivers.file import qcow2
from breezeblock.drivers.file.directory import GIB, Directory
from breezeblock.drivers.file.fence import Fences, Held, Switch
from breezeblock.drivers.file.handles import Stored, check_depth, job_of, owner_of
from breezeblock.drivers.file.still import kept_still
from breezeblock.drivers.file.tools import Tools
from breezeblock.drivers.interface import Call, LiveImages, SnapshotSpec, VolumeSpec, object_name

FLAT = "flat"
"""The part of a call's name for the base that a snapshot merges a deep chain into."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How deep a chain may be before it is flattened, and how long qemu-img may take, in seconds."""

    chain: int
    resize_seconds: float
    copy_seconds: float


class Layers:
    """The qcow2 half of a file backend."""

    def __init__(self, directory: Directory, fences: Fences, live: LiveImages, tools: Tools, limits: Limits) -> None:
        self._directory = directory
        self._fences = fences
        self._live = live
        self._tools = tools
        self._limits = limits

    def create(self, call: Call, volume: VolumeSpec) -> Stored:
        """An empty volume."""
        name = object_name(volume.id, call)
        qcow2.create(self._directory, name, volume.size_gib * GIB)
        return Stored("volume", "qcow2", volume.size_gib, (name,))

    def upon(self, call: Call, base: Sequence[str], volume_id: str, size_gib: int) -> Stored:
        """A private file for a volume, with the bytes of frozen layers ``base``: an overlay, or a copy of a deep chain."""
        name = object_name(volume_id, call)
        if self._deep(base):
            self._flatten(base, name, size_gib)
            return Stored("volume", "qcow2", size_gib, (name,))
        qcow2.create(self._directory, name, size_gib * GIB, base[0])
        return Stored("volume", "qcow2", size_gib, (name, *base))

    def snapshot(self, call: Call, source: Stored, snapshot: SnapshotSpec) -> tuple[Stored, Stored]:
        """Freeze the volume's layers for the snapshot; gives the volume and the snapshot."""
        with self._opened(call, snapshot.volume_id, source) as volume:
            frozen = volume.frozen_before or self._freeze(volume, merge=True)
        return volume.stored, Stored("snapshot", "qcow2", snapshot.size_gib, frozen)

    def clone(self, call: Call, source_id: str, source: Stored, new: VolumeSpec) -> tuple[Stored, Stored]:
        """Freeze the source's layers and lay both volumes upon them; a deep chain is copied instead, and the source stays as it is."""
        with self._opened(call, source_id, source) as volume:
            if not volume.frozen_before and not volume.live and self._deep(volume.stored.files):
                return volume.stored, self.upon(call, volume.stored.files, new.id, new.size_gib)
            frozen = volume.frozen_before or self._freeze(volume, merge=False)
        return volume.stored, self.upon(call, frozen, new.id, new.size_gib)

    def extend(self, call: Call, volume_id: str, source: Stored, size_gib: int) -> Stored:
        """Grow the top layer in place, by its daemon when it is open."""
        with self._opened(call, volume_id, source) as volume:
            if volume.live:
                self._live.resize(volume_id, size_gib * GIB, call.token(volume_id))
            elif self._deep(volume.stored.files):
                name = object_name(volume_id, call)
                self._flatten(volume.stored.files, name, size_gib)
                volume.switch((name,))
            else:
                seconds, lock = self._limits.resize_seconds, volume.held.descriptor
                qcow2.grow(self._directory, self._tools, volume.stored.top, size_gib, timeout=seconds, keep_open=[lock])
        return dataclasses.replace(volume.stored, size_gib=size_gib)

    def files(self, volume_id: str, source: Stored) -> tuple[str, ...]:
        """The volume's layers, a switch included that the database does not know yet."""
        seen = self._fences.peek(volume_id)
        return seen.switch.applied(source.files) if seen and seen.switch else source.files

    def own(self, volume_id: str, source: Stored) -> Sequence[str]:
        """The files that only this volume can need, top first: its top, and layers that no handle names yet."""
        unknown = [name for name in self.files(volume_id, source) if name not in source.files and owner_of(name) == volume_id]
        return [*unknown, source.top]

    @contextmanager
    def _opened(self, call: Call, volume_id: str, source: Stored) -> Iterator["_Opened"]:
        """The volume in its critical section: open in a daemon, or kept from being opened."""
        with self._fences.held(volume_id, call) as held, kept_still(self._live, volume_id, call.token(volume_id)) as live:
            volume = _Opened(call, volume_id, source, held, live=live)
            if live and volume.stored.files != source.files:
                # The switch was stored, and perhaps never made: whoever stored it died in between.
                self._switch_daemon(volume)
            yield volume

    def _freeze(self, volume: "_Opened", *, merge: bool) -> tuple[str, ...]:
        """Let the volume go on in a new overlay, and give the layers that are frozen from now on.

        With ``merge`` a deep chain is flattened first, unless a daemon has it open.
        """
        frozen = volume.stored.files
        if merge and not volume.live and self._deep(frozen):
            flat = object_name(volume.id, volume.call, FLAT)
            self._flatten(frozen, flat, volume.stored.size_gib)
            frozen = (flat,)
        top = object_name(volume.id, volume.call)
        check_depth((top, *frozen))
        # An extend whose finish never came left the layer larger than the handle says; a guest may see that size.
        size = max(volume.stored.size_gib * GIB, qcow2.size_bytes(self._directory, frozen[0]))
        qcow2.create(self._directory, top, size, frozen[0])
        volume.switch((top, *frozen))
        if volume.live:
            self._switch_daemon(volume)
        return frozen

    def _switch_daemon(self, volume: "_Opened") -> None:
        self._live.switch_to_overlay(volume.id, str(self._directory.file(volume.stored.top)), volume.call.token(volume.id))

    def _deep(self, files: Sequence[str]) -> bool:
        return len(files) > self._limits.chain

    def _flatten(self, files: Sequence[str], name: str, size_gib: int) -> None:
        qcow2.flatten(self._directory, self._tools, files[0], name, size_gib, timeout=self._limits.copy_seconds)


class _Opened:
    """One volume in its critical section; ``stored`` is what its handle will say."""

    def __init__(self, call: Call, volume_id: str, source: Stored, held: Held, *, live: bool) -> None:
        self.call = call
        self.id = volume_id
        self.held = held
        self.live = live
        self._known_top = source.top
        files = held.switch.applied(source.files) if held.switch else source.files
        self.stored = dataclasses.replace(source, files=files)
        ours = files != source.files and job_of(files[0]) == call.job_id
        self.frozen_before: tuple[str, ...] = files[1:] if ours else ()
        """What an earlier run of this very job froze; empty when there was none."""

    def switch(self, files: tuple[str, ...]) -> None:
        """Store that the volume's data go on in ``files``."""
        self.held.store(Switch(self._known_top, files))
        self.stored = dataclasses.replace(self.stored, files=files)

"""The file driver: volumes and snapshots as files in one directory.

Where the filesystem shares extents (XFS, btrfs) they are raw sparse files; elsewhere (ext4) they are
qcow2 files with backing chains. The choice is made by probing, for new volumes only: a handle says
which of the two its object is. What publishes an object is the job's finish alone.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg

from breezeblock import errors
from breezeblock.drivers.file.directory import GIB, Directory
from breezeblock.drivers.file.fence import FOLDER, Fences
from breezeblock.drivers.file.handles import Format, Stored, owner_of, stored
from breezeblock.drivers.file.layers import Layers, Limits
from breezeblock.drivers.file.raw import RawFiles, can_reflink
from breezeblock.drivers.file.still import kept_still
from breezeblock.drivers.file.tools import Tools
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
    VolumeSpec,
    checked_id,
    effect,
)

_TOOLS = ("qemu-img", "setpriv")


class FileDriver:
    """A directory as a storage backend."""

    name: ClassVar[str] = "file"
    options: ClassVar[Sequence[Any]] = (
        cfg.StrOpt("file_path", default="$state_path/volumes/$backend", help="The directory that holds the backend's files."),
        cfg.StrOpt(
            "file_format",
            default="auto",
            choices=["auto", "raw", "qcow2"],
            help="Format of new volumes; auto is raw where the filesystem shares extents between files, else qcow2.",
        ),
        cfg.IntOpt(
            "file_chain_limit", default=16, min=1, max=32, help="Layers of a qcow2 volume before they are merged while it is detached."
        ),
        cfg.FloatOpt("file_lock_seconds", default=30.0, min=0.1, help="How long a call waits for another change of the same volume."),
        cfg.FloatOpt("file_resize_seconds", default=60.0, min=1.0, help="How long qemu-img may take to resize an image."),
        cfg.FloatOpt("file_copy_seconds", default=6 * 3600.0, min=1.0, help="How long qemu-img may take to merge the layers of a volume."),
    )
    storage_protocols: ClassVar[Sequence[str]] = ("nbd", "local")

    def __init__(self, context: DriverContext) -> None:
        given = {option.name: option.default for option in self.options} | dict(context.options)
        path = Path(given["file_path"])
        if not path.is_absolute():
            raise errors.BadConfiguration(reason=f"file_path of backend {context.backend} must be an absolute path, not {path}")
        self._backend = context.backend
        self._live = context.live
        self._wanted: str = given["file_format"]
        self._directory = Directory(path)
        self._fences = Fences(path, given["file_lock_seconds"])
        limits = Limits(given["file_chain_limit"], given["file_resize_seconds"], given["file_copy_seconds"])
        self._kinds: Mapping[Format, RawFiles | Layers] = {
            "raw": RawFiles(self._directory, self._fences, self._live),
            "qcow2": Layers(self._directory, self._fences, self._live, Tools(), limits),
        }
        self._format: Format | None = None

    @property
    def format(self) -> Format:
        """The format of new volumes; DriverError before :meth:`setup`."""
        if self._format is None:
            raise errors.DriverError(reason=f"backend {self._backend} was not set up")
        return self._format

    def setup(self) -> None:
        """Make the directory and find out what its filesystem can do."""
        self._directory.setup()
        self._fences.setup()
        shares = can_reflink(self._directory.path)
        if self._wanted == "raw" and not shares:
            raise errors.BadConfiguration(reason=f"file_format is raw, but files in {self._directory.path} cannot share extents")
        self._format = "raw" if shares and self._wanted != "qcow2" else "qcow2"
        missing = [tool for tool in _TOOLS if self._format == "qcow2" and shutil.which(tool) is None]
        if missing:
            raise errors.BadConfiguration(
                reason=f"backend {self._backend} needs {' and '.join(missing)}; Debian has them in qemu-utils and util-linux"
            )

    def pools(self) -> Sequence[PoolCapacity]:
        """The filesystem. Extents that files share count once: no more is allocated than the filesystem has given away."""
        total, free = self._directory.capacity_gib()
        ours = sum(found.size_bytes for found in self._directory.objects()) / GIB
        return [
            PoolCapacity(
                name=self._backend,
                total_gib=total,
                free_gib=free,
                allocated_gib=min(ours, total - free),
                thin=True,
                capabilities={
                    "file_format": self.format,
                    "thin_provisioning_support": True,
                    "thick_provisioning_support": False,
                    "online_extend_support": True,
                    "multiattach": True,
                },
            )
        ]

    @effect(Effect.PRIVATE)
    def create(self, call: Call, volume: VolumeSpec) -> Handle:
        """A sparse file."""
        return self._kinds[self.format].create(call, volume).handle()

    @effect(Effect.PRIVATE)
    def create_from_snapshot(self, call: Call, snapshot: Handle, volume: VolumeSpec) -> Handle:
        """A reflink of the snapshot's file, or an overlay upon it."""
        base = stored(snapshot)
        return self._kinds[base.format].upon(call, base.files, volume.id, volume.size_gib).handle()

    @effect(Effect.FENCED)
    def clone(self, call: Call, source_id: str, source: Handle, volume: VolumeSpec) -> SourceAndNew:
        """A reflink, or two overlays upon the source's frozen file. Needs the source's token too."""
        base = stored(source)
        return _pair(self._kinds[base.format].clone(call, source_id, base, volume))

    @effect(Effect.COMMUTES)
    def delete(self, call: Call, volume_id: str, handle: Handle | None) -> None:
        """Unlink the volume's own files. Layers below belong to whoever needs them, at last to the collector."""
        with self._fences.not_older(volume_id, call):
            if handle is None:
                doomed: Sequence[str] = [found.name for found in self._directory.objects() if found.resource_id == checked_id(volume_id)]
            else:
                mine = stored(handle)
                doomed = self._kinds[mine.format].own(volume_id, mine)
            for name in doomed:
                self._directory.unlink(name)

    @effect(Effect.FENCED)
    def extend(self, call: Call, volume_id: str, handle: Handle, size_gib: int) -> Handle:
        """Grow the volume's top file, which nobody else reads."""
        mine = stored(handle)
        return self._kinds[mine.format].extend(call, volume_id, mine, max(size_gib, mine.size_gib)).handle()

    @effect(Effect.FENCED)
    def snapshot(self, call: Call, source: Handle, snapshot: SnapshotSpec) -> SourceAndNew:
        """A reflink, or the volume's frozen top file."""
        base = stored(source)
        return _pair(self._kinds[base.format].snapshot(call, base, snapshot))

    @effect(Effect.COMMUTES)
    def delete_snapshot(self, call: Call, snapshot_id: str, handle: Handle | None) -> None:
        """Unlink a reflink. A frozen file may be below a volume: that, and what was never published, is the collector's to know."""
        if handle is not None and (mine := stored(handle)).format == "raw":
            self._directory.unlink(mine.top)

    @effect(Effect.PRIVATE)
    def revert(self, call: Call, volume_id: str, handle: Handle, snapshot: Handle, size_gib: int) -> Handle:
        """A new file upon the snapshot; the old one is the collector's once the new is published. ObjectBusy while a daemon runs."""
        base = stored(snapshot)
        with kept_still(self._live, volume_id, call.tokens.get(volume_id)) as live:
            if live:
                raise errors.ObjectBusy(what=f"volume {volume_id}", reason="it is exported, and can be reverted only while it is detached")
            return self._kinds[base.format].upon(call, base.files, volume_id, size_gib).handle()

    @effect(Effect.READS)
    def image(self, handle: Handle) -> Image:
        """The top file: of a volume the one that its data are in now, also when a job died after it switched to a new layer.

        An exporter must ask while it holds the export lock: before, a snapshot may still be changing the answer.
        """
        found = stored(handle)
        return Image(str(self._directory.file(self._current(found)[0])), found.format, found.size_gib * GIB)

    @effect(Effect.READS)
    def objects(self) -> Sequence[StoredObject]:
        """All files, and the fences of volumes with the job that used each last; not the files of a volume that is being changed.

        A late caller may have made a layer and not yet stored that the volume goes on in it; once it
        has, :meth:`referenced` names the layer. So the files are listed first, and the holders after.
        """
        files = self._directory.objects()
        busy = self._fences.busy()
        return [*(found for found in files if found.resource_id not in busy), *self._fences.objects()]

    @effect(Effect.READS)
    def referenced(self, handles: Collection[Handle]) -> Collection[str]:
        """Every file of every chain, and for volumes the fence and the layers that only the fence knows."""
        fenced = self._fences.volumes()
        needed: set[str] = set()
        for found in map(stored, handles):
            needed.update(found.files)
            volume_id = owner_of(found.top)
            if found.kind == "volume" and volume_id in fenced:
                needed.add(f"{FOLDER}/{volume_id}")
                needed.update(self._current(found))
        return needed

    @effect(Effect.COMMUTES)
    def remove(self, names: Collection[str]) -> None:
        """Unlink leftovers. A fence that is held is left for the next time."""
        for name in names:
            folder, _, volume_id = name.rpartition("/")
            if folder == FOLDER:
                self._fences.remove(volume_id)
            else:
                self._directory.unlink(name)

    def _current(self, found: Stored) -> tuple[str, ...]:
        if found.kind == "snapshot":
            return found.files
        return self._kinds[found.format].files(owner_of(found.top), found)


def _pair(both: tuple[Stored, Stored]) -> SourceAndNew:
    return SourceAndNew(both[0].handle(), both[1].handle())

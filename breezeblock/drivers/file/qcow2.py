"""qcow2 files: empty ones and overlays, written here, and what qemu-img does with them.

An empty image is three clusters of metadata, fixed by the format's specification (docs/interop/qcow2.txt
of QEMU, version 3). Writing them takes 1 ms; starting ``qemu-img create`` takes 15. Nothing here ever
interprets a guest's data, and no image's format is ever guessed.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.file.directory import GIB, Directory, sync, translated
from breezeblock.drivers.file.tools import Tools

_MAGIC = b"QFI\xfb"
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_L1_ENTRY_COVERS = _CLUSTER * _CLUSTER // 8
_REFCOUNT_TABLE, _REFCOUNT_BLOCK, _L1 = _CLUSTER, 2 * _CLUSTER, 3 * _CLUSTER
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII8x")
_SIZE_AT = 24
_BACKING_FORMAT = 0xE2792ACA
_REFCOUNT_ORDER = 4


def header(size_bytes: int, backing: str | None) -> bytes:
    """The first cluster of an empty image of ``size_bytes``. ``backing`` is a qcow2 file's name, relative to the image's own directory."""
    base = backing.encode() if backing else b""
    extensions = (struct.pack(">II8s", _BACKING_FORMAT, 5, b"qcow2") if base else b"") + bytes(8)
    return (
        _HEADER.pack(
            _MAGIC,
            3,
            _HEADER.size + len(extensions) if base else 0,
            len(base),
            _CLUSTER_BITS,
            size_bytes,
            0,  # no encryption
            _l1_entries(size_bytes),
            _L1,
            _REFCOUNT_TABLE,
            1,  # cluster of refcount table
            0,  # internal snapshots
            0,
            0,  # incompatible, compatible, autoclear features
            0,
            0,
            _REFCOUNT_ORDER,
            _HEADER.size,
        )
        + extensions
        + base
    )


def create(directory: Directory, name: str, size: int, backing: str | None = None) -> None:
    """An empty image of ``size`` bytes, or an overlay upon ``backing`` whose tail beyond the backing file reads as zeros."""
    l1_clusters = -(-_l1_entries(size) * 8 // _CLUSTER)
    if backing is not None and not directory.file(backing).exists():
        raise errors.ObjectMissing(what=backing)
    with directory.new(name) as path, path.open("xb") as made:
        made.write(header(size, backing))
        made.seek(_REFCOUNT_TABLE)
        made.write(struct.pack(">Q", _REFCOUNT_BLOCK))
        made.seek(_REFCOUNT_BLOCK)
        made.write(struct.pack(">H", 1) * (3 + l1_clusters))
        made.truncate(_L1 + l1_clusters * _CLUSTER)


def size_bytes(directory: Directory, name: str) -> int:
    """The size that a guest sees."""
    with translated(name, directory.path), directory.file(name).open("rb") as image:
        head = image.read(_SIZE_AT + 8)
    if len(head) != _SIZE_AT + 8 or not head.startswith(_MAGIC):
        raise errors.DriverError(reason=f"{name} is no qcow2 image")
    return int.from_bytes(head[_SIZE_AT:], "big")


def backing_name(path: Path) -> str | None:
    """The backing file's name as the image's own header has it."""
    with path.open("rb") as image:
        fields = _HEADER.unpack(image.read(_HEADER.size))
        image.seek(fields[2])
        return image.read(fields[3]).decode() if fields[2] else None


def grow(directory: Directory, tools: Tools, name: str, size_gib: int, *, timeout: float, keep_open: Sequence[int]) -> None:
    """Resize an image that nobody has open; one that is as large already stays as it is."""
    if size_bytes(directory, name) < size_gib * GIB:
        path = directory.file(name)
        resize = ["qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size_gib * GIB)]
        tools.run(resize, timeout=timeout, what=name, keep_open=keep_open)
        with translated(name, directory.path):
            sync(path)


def flatten(directory: Directory, tools: Tools, source: str, name: str, size_gib: int, *, timeout: float) -> None:
    """Copy all that is visible in ``source`` into a new image without a backing file. Space is taken for data only."""
    create(directory, name, size_gib * GIB)
    new = directory.file(name)
    try:
        # The target is empty and of the final size: zeros need not be written.
        copy = ["qemu-img", "convert", "-q", "-n", "--target-is-zero", "-f", "qcow2", "-O", "qcow2", str(directory.file(source)), str(new)]
        tools.run(copy, timeout=timeout, what=name)
        with translated(name, directory.path):
            sync(new)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _l1_entries(size: int) -> int:
    return -(-size // _L1_ENTRY_COVERS)

"""The nodes and exports inside one daemon, and the changes that are made to them while clients are connected.

The nodes: ``top`` (driver raw, what every export is attached to, so that layers and filters come and
go beneath it) over ``image-N`` over ``file-N``. Image 0 is what the daemon was started with; each
switch to an overlay adds the next number. What a daemon's permissions forbid (QEMU 7.2): a node with an
NBD export cannot be resized, and a writable local export needs the very permission that NBD withholds.
"""

import enum
import json
import os
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from breezeblock import errors
from breezeblock.drivers.interface import Image
from breezeblock.exports.home import Home
from breezeblock.exports.qmp import Qmp

TOP = "top"


class Service(enum.StrEnum):
    """One way to a volume's bytes; the value is also the id of the daemon's export."""

    NBD_RW = "nbd-rw"
    NBD_RO = "nbd-ro"
    LOCAL_RW = "local-rw"
    LOCAL_RO = "local-ro"

    @property
    def protocol(self) -> str:
        """``nbd`` or ``local``."""
        return self.value[:-3]

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self.value.endswith("-ro")


def service(protocol: str, *, read_only: bool) -> Service:
    """The service for a protocol and mode; Invalid for an unknown protocol."""
    try:
        return Service(f"{protocol}-{'ro' if read_only else 'rw'}")
    except ValueError:
        raise errors.Invalid(reason=f"volumes are not exported by {protocol!r}; known are nbd and local") from None


def check_together(volume_id: str, services: Collection[Service]) -> None:
    """Raise ObjectBusy for services that one daemon cannot give at once: NBD beside a writable local device."""
    if Service.LOCAL_RW in services and any(one.protocol == "nbd" for one in services):
        raise errors.ObjectBusy(
            what=f"volume {volume_id}",
            reason="it cannot be a writable local device and an NBD export at once; detach the other one first",
        )


def blockdevs(image: Image) -> list[Mapping[str, Any]]:
    """The nodes that a daemon is started with, for its command line."""
    return [
        {"driver": "file", "node-name": "file-0", "filename": image.path, "discard": "unmap"},
        {"driver": image.format, "node-name": "image-0", "file": "file-0", "discard": "unmap"},
        {"driver": "raw", "node-name": TOP, "file": "image-0", "discard": "unmap"},
    ]


def export_name(volume_id: str, *, read_only: bool) -> str:
    """The NBD export's name."""
    return f"{volume_id}-ro" if read_only else volume_id


def images(qmp: Qmp) -> list[Image]:
    """The layers that this daemon opened by itself, the active one first. Backing files of the image it started with are not among them."""
    nodes = {node["node-name"]: node for node in qmp.execute("query-named-block-nodes", {"flat": True})}
    found: list[Image] = []
    while (node := nodes.get(f"image-{len(found)}")) is not None:
        if found and not node.get("backing_file"):
            break  # added for a switch that was not made
        found.append(Image(nodes[f"file-{len(found)}"]["file"], node["drv"], node["image"]["virtual-size"]))
    found.reverse()
    return found


def served(qmp: Qmp) -> set[Service]:
    """What the daemon exports."""
    return {Service(export["id"]) for export in qmp.execute("query-block-exports") if not export["shutting-down"]}


def serve(qmp: Qmp, home: Home, wanted: Collection[Service]) -> None:
    """Add what is wanted and missing."""
    for one in sorted(set(wanted) - served(qmp)):
        _finish_shutdown(qmp, one)
        writable = not one.read_only
        options: dict[str, Any] = {"id": one.value, "node-name": TOP, "writable": writable}
        if one.protocol == "nbd":
            options |= {"type": "nbd", "name": export_name(home.volume_id, read_only=one.read_only)}
        else:
            options |= {"type": "fuse", "mountpoint": str(home.device(read_only=one.read_only)), "growable": False}
        qmp.execute("block-export-add", options)


def withdraw(qmp: Qmp, unwanted: Collection[Service]) -> None:
    """Remove exports at once; their clients' connections break."""
    for one in sorted(set(unwanted) & served(qmp)):
        qmp.execute("block-export-del", {"id": one.value, "mode": "hard"})
        _gone(qmp, one)


def grow(qmp: Qmp, home: Home, size_bytes: int, services: Collection[Service]) -> int:
    """Make the open image at least ``size_bytes`` large and export it as ``services``; gives the size. Never shrinks.

    NBD exports are broken and made anew when the size changes: their clients reconnect and see it.
    """
    active = images(qmp)[0]
    wanted = size_bytes
    if active.format == "raw":
        # A file that somebody grew already must not be cut to the size that we were asked for.
        wanted = max(wanted, Path(active.path).stat().st_size)
    if active.size_bytes < wanted:
        withdraw(qmp, [Service.NBD_RW, Service.NBD_RO])
        try:
            qmp.execute("block_resize", {"node-name": TOP, "size": wanted})
        finally:
            serve(qmp, home, services)
    else:
        serve(qmp, home, services)
    return max(active.size_bytes, wanted)


def switch(qmp: Qmp, overlay: str) -> None:
    """Let the volume go on in ``overlay``, a qcow2 file that lies upon the active image.

    Atomic for the clients: each write is either in the old layer or in the new one, in the order of their
    completion. Raises ObjectBusy when ``overlay`` lies upon anything else: its bytes would be wrong after the next start.
    """
    layers = images(qmp)
    if _same_file(overlay, layers[0].path):
        return
    base = backing_file(overlay)
    if base is None or not _same_file(base, layers[0].path):
        raise errors.ObjectBusy(what=layers[0].path, reason=f"{overlay} lies upon {base}, but the open image is {layers[0].path}")
    number = len(layers)
    _drop_left_over(qmp, number)
    qmp.execute(
        "blockdev-add",
        {
            "driver": "qcow2",
            "node-name": f"image-{number}",
            "discard": "unmap",
            "backing": None,
            "file": {"driver": "file", "node-name": f"file-{number}", "filename": overlay, "discard": "unmap"},
        },
    )
    try:
        qmp.execute("blockdev-snapshot", {"node": f"image-{number - 1}", "overlay": f"image-{number}"})
    except errors.DaemonRefused:
        _drop_left_over(qmp, number)
        raise


def backing_file(path: str) -> str | None:
    """The backing file that a qcow2 image names, as a path; None without one (QEMU's docs/interop/qcow2.txt)."""
    try:
        with Path(path).open("rb") as image:
            magic, _version, offset, length = struct.unpack(">4sIQI", image.read(20))
            if magic != b"QFI\xfb" or not offset:
                return None
            image.seek(offset)
            name = image.read(length).decode()
    except FileNotFoundError:
        raise errors.ObjectMissing(what=f"overlay {path}") from None
    return os.path.normpath(Path(path).parent / name)


def _drop_left_over(qmp: Qmp, number: int) -> None:
    """Remove a node that was added for a switch which was not made."""
    known = {node["node-name"] for node in qmp.execute("query-named-block-nodes", {"flat": True})}
    if f"image-{number}" in known:
        qmp.execute("blockdev-del", {"node-name": f"image-{number}"})


def _finish_shutdown(qmp: Qmp, one: Service) -> None:
    """Wait for an export of that id which is on its way out."""
    if any(export["id"] == one.value for export in qmp.execute("query-block-exports")):
        _gone(qmp, one)


def _gone(qmp: Qmp, one: Service) -> None:
    qmp.wait("BLOCK_EXPORT_DELETED", {"id": one.value})


def _same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except FileNotFoundError:
        return False


def command_line(image: Image, *, qmp: int, nbd: int, pid: str) -> list[str]:
    """The daemon's arguments; ``qmp`` and ``nbd`` are listening sockets that it inherits."""
    words = ["qemu-storage-daemon", "--chardev", f"socket,id=qmp,fd={qmp},server=on,wait=off", "--monitor", "chardev=qmp"]
    for node in blockdevs(image):
        words += ["--blockdev", json.dumps(node)]
    return [*words, "--nbd-server", f"addr.type=fd,addr.str={nbd},max-connections=0", "--pidfile", pid]

"""Bring a volume's export up, or down, from whatever state an earlier attempt left. Every function runs within the volume's gate."""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.interface import Image
from breezeblock.exports import daemon, graph, local, nbd
from breezeblock.exports.graph import Service
from breezeblock.exports.home import Home
from breezeblock.exports.qmp import Qmp
from breezeblock.exports.record import Record, store, take
from breezeblock.exports.values import ExportSettings, ImageSource


def up(place: Home, known: Record, source: ImageSource, wanted: set[Service], settings: ExportSettings, boot_id: str) -> Record:
    """Have a daemon with the volume's image open that gives all ``wanted`` services; gives what is remembered."""
    graph.check_together(place.volume_id, wanted)
    with _opened(place, known, source, wanted, settings, boot_id) as (qmp, opened):
        for one in wanted - graph.served(qmp):
            if one.protocol == "local":
                local.prepare(place, read_only=one.read_only)
        graph.serve(qmp, place, wanted)
        for one in wanted:
            if one.protocol == "local":
                local.one_at_a_time(place.device(read_only=one.read_only))
        active = graph.images(qmp)[0]
        new = opened.but(path=active.path, format=active.format, size_bytes=active.size_bytes, services=tuple(sorted(wanted)))
        if new != opened:
            store(place, new)
        return new


def down(place: Home, known: Record, *, keep: bool) -> None:
    """End the daemon. ``keep``: a rebuild will bring the export back, at the same address.

    Raises ObjectBusy while its local device is mounted.
    """
    release_local(place, [Service.LOCAL_RW, Service.LOCAL_RO])
    daemon.stop(place)
    for read_only in (False, True):
        local.clear(place, read_only=read_only)
    if not keep:
        nbd.release(place, known.address)
        store(place, known.but(present=False, services=(), address=None))


def release_local(place: Home, services: Iterable[Service]) -> None:
    """Take away the loop devices over the local ones of ``services``; ObjectBusy while one is mounted."""
    for one in services:
        if one.protocol == "local" and place.device(read_only=one.read_only).exists():
            local.release(place, read_only=one.read_only)


@contextmanager
def _opened(
    place: Home, known: Record, source: ImageSource, wanted: set[Service], settings: ExportSettings, boot_id: str
) -> Iterator[tuple[Qmp, Record]]:
    """The running daemon, or a new one; a new one that cannot be used is ended again."""
    lock = take(place.lock)
    if lock is None:
        with _adopted(place, source) as qmp:
            yield qmp, known.but(present=True)
        return
    try:
        image = source()
        server, address = nbd.listen(place, known.address, settings.nbd_address, settings.nbd_ports)
        with server:
            opened = known.but(
                present=True,
                path=image.path,
                format=image.format,
                size_bytes=image.size_bytes,
                address=address,
                services=tuple(sorted(wanted)),
                boot_id=boot_id,
            )
            # Before the effect: who comes after our death must know the address.
            store(place, opened)
            qmp = _started(place, image, lock, server, known)
    finally:
        os.close(lock)
    try:
        with qmp:
            yield qmp, opened
    except BaseException:
        daemon.stop(place)
        store(place, known)
        raise


def _started(place: Home, image: Image, lock: int, server: socket.socket, known: Record) -> Qmp:
    try:
        return daemon.start(place, image, lock, server)
    except BaseException:
        store(place, known)
        raise


def _adopted(place: Home, source: ImageSource) -> Qmp:
    """A connection to the daemon that holds the lock, if it has the volume's image open, perhaps beneath newer layers."""
    try:
        qmp = daemon.connect(place)
    except errors.DaemonSilent as problem:
        raise errors.ObjectBusy(
            what=f"volume {place.volume_id}", reason="its image is being changed, or its storage daemon does not answer"
        ) from problem
    try:
        layers, image = graph.images(qmp), source()
        if not any(Path(layer.path).resolve() == Path(image.path).resolve() for layer in layers):
            raise errors.ObjectBusy(
                what=f"volume {place.volume_id}", reason=f"its storage daemon has {layers[0].path} open, not {image.path}"
            )
    except BaseException:
        qmp.close()
        raise
    return qmp

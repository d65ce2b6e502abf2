"""What verbs call: make a volume's export be there, say how to reach it, take it away.

Every change is FENCED (protocol rule R1): the token is checked and stored within the volume's gate,
where the effect happens too. A change that is repeated, by the same job or a later one, ends as if
there had been one. The exports table is the caller's: :meth:`Exports.ensure` gives what goes into
its ``parameters``, and the fenced finish of the job writes the row.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from breezeblock import errors
from breezeblock.drivers.interface import Call, Effect, Image, effect
from breezeblock.exports import daemon, graph, lifecycle, local, nbd
from breezeblock.exports.graph import Service
from breezeblock.exports.home import Home, check_socket_length, home
from breezeblock.exports.ownership import Owner, read_boot_id
from breezeblock.exports.record import admit, gate, load, store
from breezeblock.exports.values import Export, ExportRow, ExportSettings, ImageSource, from_parameters, parameters


class Exports:
    """The exports of one host. Threads and processes may share its state directory freely."""

    def __init__(self, settings: ExportSettings, boot_id: Callable[[], str] = read_boot_id) -> None:
        """Raises BadConfiguration when clients could not be told an address."""
        if settings.nbd_address is None:
            check_socket_length(settings.state_dir)
        else:
            nbd.check_address(settings.nbd_address)
        self._settings = settings
        self._boot_id = boot_id

    def owner(self) -> Owner:
        """This host in its present life: what a new row of the exports table says."""
        return Owner(self._settings.host, self._boot_id())

    @effect(Effect.FENCED)
    def ensure(
        self, call: Call, volume_id: str, image: Image | ImageSource, *, protocols: Collection[str] = ("nbd",), read_only: bool = False
    ) -> Mapping[str, Any]:
        """Export the volume by ``protocols`` in the given mode, beside what is exported of it already; gives the row's parameters.

        ``image`` asks the driver, as in ``lambda: driver.image(handle)``; what it raises goes through. A plain
        Image is for callers who know that no job of the driver can still be at work on the volume.
        Raises Fenced, ObjectMissing without the image, ObjectBusy when another image of the volume is open,
        when somebody works on the image, or when the protocols exclude each other.
        """
        source = _source(image)
        if not Path(found := source().path).is_file():
            # Before anything is written: a late call for a deleted volume leaves no trace.
            raise errors.ObjectMissing(what=f"image {found} of volume {volume_id}")
        place = self._home(volume_id)
        with gate(place):
            known = admit(place, call.token(volume_id))
            wanted = {graph.service(protocol, read_only=read_only) for protocol in protocols}
            if known.present:
                wanted |= {Service(one) for one in known.services}
            return parameters(lifecycle.up(place, known, source, wanted, self._settings, self._boot_id()))

    def connect_info(self, volume_id: str, protocol: str = "nbd", *, read_only: bool = False) -> Mapping[str, Any]:
        """The connection information for a client; ObjectMissing when the volume is not exported that way here."""
        place = self._home(volume_id)
        known = load(place)
        one = graph.service(protocol, read_only=read_only)
        if known is None or not known.present or one not in known.services or known.address is None:
            raise errors.ObjectMissing(what=f"the {protocol} export ({'ro' if read_only else 'rw'}) of volume {volume_id}")
        if one.protocol == "nbd":
            return nbd.connection(volume_id, known.address, known.size_bytes, read_only=read_only)
        return local.connection(place, known.size_bytes, self._settings.host, read_only=read_only)

    @effect(Effect.FENCED)
    def withdraw(self, call: Call, volume_id: str, protocol: str, *, read_only: bool = False) -> Mapping[str, Any] | None:
        """End one service of the volume; with the last one the daemon ends. Gives the row's parameters, None when nothing is left.

        Raises ObjectBusy while the local device that is to go is mounted.
        """
        place = self._home(volume_id)
        one = graph.service(protocol, read_only=read_only)
        with gate(place):
            known = admit(place, call.token(volume_id))
            left = tuple(other for other in known.services if other != one)
            if not left:
                lifecycle.down(place, known, keep=False)
                return None
            if one in known.services:
                lifecycle.release_local(place, [one])
                known = known.but(services=left)
                store(place, known)
            if daemon.running(place):
                with daemon.connect(place) as qmp:
                    graph.withdraw(qmp, [one])
            return parameters(known)

    @effect(Effect.FENCED)
    def remove(self, call: Call, volume_id: str) -> None:
        """End the volume's daemon and give its address back. ObjectBusy while its local device is mounted."""
        place = self._home(volume_id)
        with gate(place):
            lifecycle.down(place, admit(place, call.token(volume_id)), keep=False)

    @effect(Effect.FENCED)
    def forget(self, call: Call, volume_id: str) -> None:
        """Remove the export of a volume that is being deleted, and all that is remembered of it, the fence too.

        Call it when the image is gone: without it, no late caller can export anything.
        """
        place = self._home(volume_id)
        if not place.directory.exists():
            return
        with gate(place):
            lifecycle.down(place, admit(place, call.token(volume_id)), keep=False)
            shutil.rmtree(place.directory)

    def list(self) -> Sequence[Export]:
        """Every volume that this host exports or should export, by id."""
        found = []
        for place in self._places():
            known = load(place)
            if known is not None and known.present:
                pids = daemon.holders(place)
                pid = pids[0] if pids else None
                found.append(Export(place.volume_id, bool(pids), known.services, known.path, known.size_bytes, pid, known.boot_id))
        return found

    def stop_all(self) -> Mapping[str, str]:
        """End all daemons of this host, for an operator; a rebuild brings them back. Gives what could not be stopped, with the reason."""
        failed = {}
        for place in self._places():
            try:
                with gate(place):
                    lifecycle.down(place, admit(place, None), keep=True)
            except errors.Error as problem:
                failed[place.volume_id] = problem.message
        return failed

    def rebuild(self, rows: Iterable[ExportRow]) -> Mapping[str, str]:
        """Start what should be exported by this host and is not, at its former address: after a reboot, or a daemon's death.

        Rows of other hosts are none of ours. A row that was read before the export was removed starts nothing.
        Gives what could not be brought back, with the reason; repeating it is harmless.
        """
        failed = {}
        for row in rows:
            if row.host != self._settings.host:
                continue
            try:
                self._rebuild(row)
            except (errors.Error, OSError) as problem:
                failed[row.volume_id] = str(problem)
        return failed

    def _rebuild(self, row: ExportRow) -> None:
        place = self._home(row.volume_id)
        with gate(place):
            known = admit(place, None)
            if not known.present:
                if known.generation > row.generation:
                    return
                services, address = from_parameters(row.parameters)
                known = known.but(services=services, address=address)
            wanted = {Service(one) for one in known.services}
            lifecycle.up(place, known, row.image, wanted, self._settings, self._boot_id())

    def _home(self, volume_id: str) -> Home:
        return home(self._settings.state_dir, volume_id)

    def _places(self) -> Sequence[Home]:
        """Each volume that was ever exported here and not forgotten."""
        return [self._home(path.parent.name) for path in sorted((self._settings.state_dir / "exports").glob("*/gate.lock"))]


def _source(image: Image | ImageSource) -> ImageSource:
    if not isinstance(image, Image):
        return image
    known = image
    return lambda: known

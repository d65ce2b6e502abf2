"""What a driver may ask of the daemons: :class:`breezeblock.drivers.interface.LiveImages` on this host."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.interface import Token
from breezeblock.exports import daemon, graph, local
from breezeblock.exports.graph import Service
from breezeblock.exports.home import Home, home
from breezeblock.exports.record import Record, admit, gate, store, take


class LiveDaemons:
    """The daemons of one host's state directory.

    Each method that changes something takes the caller's fence token for the volume, checks it as
    :class:`breezeblock.exports.manager.Exports` does, and remembers it: a late caller of either is refused.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state = state_dir

    @contextmanager
    def offline(self, volume_id: str, token: Token | None = None) -> Iterator[None]:
        """Hold the lock that a daemon would need; ObjectBusy when one runs, Fenced for a late caller."""
        place = home(self._state, volume_id)
        with gate(place):
            admit(place, token)
            lock = take(place.lock)
        if lock is None:
            raise errors.ObjectBusy(what=f"the image of volume {volume_id}", reason="a storage daemon has it open")
        try:
            yield
        finally:
            os.close(lock)

    def running(self, volume_id: str, token: Token | None = None) -> bool:
        """Whether a daemon of this host has the volume open. With a token, Fenced for a late caller."""
        place = home(self._state, volume_id)
        if token is not None:
            with gate(place):
                admit(place, token)
        return daemon.running(place)

    def switch_to_overlay(self, volume_id: str, overlay_path: str, token: Token | None = None) -> None:
        """Make ``overlay_path`` the active layer. Raises ObjectMissing without a daemon, ObjectBusy when it lies upon another image."""
        place = home(self._state, volume_id)
        with gate(place):
            known = _exported(place, token)
            with daemon.connect(place) as qmp:
                graph.switch(qmp, overlay_path)
                active = graph.images(qmp)[0]
            store(place, known.but(path=active.path, format=active.format))

    def resize(self, volume_id: str, size_bytes: int, token: Token | None = None) -> None:
        """Grow the open image and what its clients see; never shrinks. ObjectMissing without a daemon.

        NBD clients are cut off for the moment of the change, and see the new size when they have reconnected;
        a local device sees it at once.
        """
        place = home(self._state, volume_id)
        with gate(place):
            known = _exported(place, token)
            services = [Service(one) for one in known.services]
            with daemon.connect(place) as qmp:
                size = graph.grow(qmp, place, size_bytes, services)
            store(place, known.but(size_bytes=size))
        for one in services:
            if one.protocol == "local":
                local.refresh(place.device(read_only=one.read_only))


def _exported(place: Home, token: Token | None) -> Record:
    """What is remembered of a volume that a daemon has open. Within the gate."""
    known = admit(place, token)
    if not daemon.running(place):
        raise errors.ObjectMissing(what=f"the storage daemon of volume {place.volume_id}")
    return known

"""Stand-ins for the daemons, where a driver is tested without exports."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.file import qcow2
from breezeblock.drivers.interface import Image, Token


class NothingLive:
    """No volume is open anywhere, and asking for a live change is a mistake of the driver."""

    @contextmanager
    def offline(self, volume_id: str, token: Token | None = None) -> Iterator[None]:
        """Always free."""
        yield

    def running(self, volume_id: str, token: Token | None = None) -> bool:
        """Never."""
        return False

    def switch_to_overlay(self, volume_id: str, overlay_path: str, token: Token | None = None) -> None:
        """No daemon runs that could."""
        raise AssertionError(f"no daemon has {volume_id} open")

    def resize(self, volume_id: str, size_bytes: int, token: Token | None = None) -> None:
        """No daemon runs that could."""
        raise AssertionError(f"no daemon has {volume_id} open")


class Died(BaseException):
    """The caller's process ended here; nothing of it runs any more."""


class Daemons:
    """Daemons of one host, each with one image open. It stands for qemu-storage-daemon, and outlives the callers.

    ``dies`` names a moment at which the next switch kills its caller: ``before`` it or ``after`` it.
    """

    def __init__(self) -> None:
        self.open: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.switches: list[str] = []
        self.dies = ""

    def start(self, volume_id: str, image: Image) -> None:
        """Open an image, as an exporter does that holds the export lock."""
        self.open[volume_id] = image.path

    def stop(self, volume_id: str) -> None:
        """Close it."""
        del self.open[volume_id]

    def fill(self, volume_id: str, offset: int, byte: int) -> None:
        """Write a page as the daemon's client, into whatever is open."""
        command = f"write -q -P {byte} {offset} 4096"
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, "-c", "flush", self.open[volume_id]], check=True, timeout=30)

    @contextmanager
    def offline(self, volume_id: str, token: Token | None = None) -> Iterator[None]:
        """The export lock; an open image is busy."""
        if volume_id in self.open:
            raise errors.ObjectBusy(what=volume_id, reason="a daemon runs")
        yield

    def running(self, volume_id: str, token: Token | None = None) -> bool:
        """Whether a daemon has it."""
        return volume_id in self.open

    def switch_to_overlay(self, volume_id: str, overlay_path: str, token: Token | None = None) -> None:
        """As the real one: nothing where it is done, else only upon the very file that is open."""
        if self.dies == "before":
            raise Died
        if self.open[volume_id] != overlay_path:
            overlay = Path(overlay_path)
            assert str(overlay.parent / (qcow2.backing_name(overlay) or "")) == self.open[volume_id]
            self.open[volume_id] = overlay_path
            self.switches.append(overlay.name)
        if self.dies == "after":
            raise Died

    def resize(self, volume_id: str, size_bytes: int, token: Token | None = None) -> None:
        """Grow the open image."""
        subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", self.open[volume_id], str(size_bytes)], check=True, timeout=30)

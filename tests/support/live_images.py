"""Stand-ins for the daemons, where a driver is tested without exports."""

from collections.abc import Iterator
from contextlib import contextmanager

from breezeblock.drivers.interface import Token


class NothingLive:
    """No volume is open anywhere, and asking for a live change is a mistake of the driver."""

    @contextmanager
    def offline(self, volume_id: str, token: Token | None = None) -> Iterator[None]:
        """Always free."""
        yield

    def running(self, volume_id: str) -> bool:
        """Never."""
        return False

    def switch_to_overlay(self, volume_id: str, overlay_path: str, token: Token | None = None) -> None:
        """No daemon runs that could."""
        raise AssertionError(f"no daemon has {volume_id} open")

    def resize(self, volume_id: str, size_bytes: int, token: Token | None = None) -> None:
        """No daemon runs that could."""
        raise AssertionError(f"no daemon has {volume_id} open")

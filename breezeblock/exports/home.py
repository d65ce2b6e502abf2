"""The names of everything that an export keeps on its host. Nothing is ever written outside the state directory.

A volume's files stand in ``<state>/exports/<volume id>/``; its NBD socket stands in ``<state>/nbd/``
under a short name, because clients must name it within the 107 bytes that a UNIX address has. The
daemon's own control socket is never named by its full path, so it has no such limit.
"""

import base64
import dataclasses
import hashlib
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.interface import checked_id

LONGEST_SOCKET = 107
"""Bytes of a UNIX socket's address, without the final NUL (unix(7))."""


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """One volume's files."""

    state: Path
    volume_id: str

    @property
    def directory(self) -> Path:
        """The volume's own directory, which is also its daemon's working directory."""
        return self.state / "exports" / self.volume_id

    @property
    def gate(self) -> Path:
        """The lock of the volume's critical section, held for moments."""
        return self.directory / "gate.lock"

    @property
    def lock(self) -> Path:
        """The lock that a daemon inherits and keeps for all of its life (protocol rule R6)."""
        return self.directory / "daemon.lock"

    @property
    def record(self) -> Path:
        """What is remembered: :class:`breezeblock.exports.record.Record`."""
        return self.directory / "record.json"

    @property
    def log(self) -> Path:
        """What the daemon said."""
        return self.directory / "daemon.log"

    @property
    def pid(self) -> Path:
        """A hint of the daemon's pid, written by itself; never trusted without a look at what the process holds."""
        return self.directory / "daemon.pid"

    def device(self, *, read_only: bool) -> Path:
        """The file that a local export is mounted on."""
        return self.directory / ("disk-ro" if read_only else "disk")

    @property
    def nbd_socket(self) -> Path:
        """The NBD server's UNIX socket: 60 bits of the volume id's digest."""
        digest = hashlib.sha256(self.volume_id.encode()).digest()
        return self.state / "nbd" / base64.b32encode(digest)[:12].decode().lower()


QMP_SOCKET = "qmp.sock"
"""Relative to the daemon's directory."""


def home(state: Path, volume_id: str) -> Home:
    """The names for ``volume_id``; DriverError unless it is a UUID."""
    return Home(state, checked_id(volume_id))


def check_socket_length(state: Path) -> None:
    """Raise BadConfiguration when clients could not name the NBD sockets under ``state``."""
    length = len(str(Home(state, "").nbd_socket).encode())
    if length > LONGEST_SOCKET:
        raise errors.BadConfiguration(
            reason=f"the state directory's path is {length - LONGEST_SOCKET} bytes too long for UNIX sockets of NBD exports "
            f"(a socket's path may have {LONGEST_SOCKET}): {state}. Choose a shorter one, or export by TCP with nbd_address"
        )

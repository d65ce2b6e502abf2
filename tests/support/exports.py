"""Volumes, calls and exports for the tests of everything that exports; all daemons are ended whatever a test did."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock.drivers.interface import Call, Image, Token
from breezeblock.exports import daemon, local
from breezeblock.exports.home import Home, home
from breezeblock.exports.images import LiveDaemons
from breezeblock.exports.manager import Exports
from breezeblock.exports.values import ExportSettings

_GUARD = """
read -r ended && exit 0
ls -ld /proc/[0-9]*/cwd 2>/dev/null | grep -F -e "-> $1/exports/" | sed 's|.*/proc/\\([0-9]*\\)/cwd.*|\\1|' | xargs -r kill -9
for disk in "$1"/exports/*/disk "$1"/exports/*/disk-ro; do
    [ -e "$disk.loop" ] && losetup --list --noheadings --output NAME --associated "$disk" | xargs -r -n 1 losetup --detach
    umount --lazy "$disk" 2>/dev/null
done
rm -rf "$1"
"""
"""Waits for a word that the test cleaned up. The end of its input without one is the death of the test's process: it cleans up itself."""
MIB = 1 << 20
SIZE = 32 * MIB


@dataclasses.dataclass
class Host:
    """One host's exports, and the life it is in: a test of a reboot changes ``boot_id``."""

    state: Path
    images: Path
    format: str
    boot_id: str = "boot-1"
    nbd_address: str | None = None
    nbd_ports: range = range(0)

    def exports(self) -> Exports:
        """As a new process would see them."""
        settings = ExportSettings(self.state, "host-a", self.nbd_address, self.nbd_ports)
        return Exports(settings, boot_id=lambda: self.boot_id)

    @property
    def live(self) -> LiveDaemons:
        """What a driver gets."""
        return LiveDaemons(self.state)

    def home(self, volume_id: str) -> Home:
        """The names on disk."""
        return home(self.state, volume_id)

    def volume(self, size_bytes: int = SIZE) -> tuple[str, Image]:
        """A new volume that reads as zeros."""
        volume_id = str(uuid.uuid4())
        return volume_id, self.image(f"{volume_id}.{self.format}", size_bytes)

    def image(self, name: str, size_bytes: int = SIZE) -> Image:
        """A new image file."""
        path = self.images / name
        subprocess.run(["qemu-img", "create", "-q", "-f", self.format, str(path), str(size_bytes)], check=True)
        return Image(str(path), self.format, size_bytes)

    def overlay(self, base: Image, name: str) -> str:
        """A new qcow2 file upon ``base``."""
        path = self.images / name
        words = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", base.path, "-F", base.format, str(path), str(base.size_bytes)]
        subprocess.run(words, check=True)
        return str(path)

    def pid(self, volume_id: str) -> int:
        """The one daemon of a volume that must be running."""
        (pid,) = daemon.holders(self.home(volume_id))
        return pid

    def kill_all(self) -> None:
        """What a power failure does to the daemons."""
        for directory in (self.state / "exports").glob("*-*-*"):
            for pid in daemon.holders(self.home(directory.name)):
                kill(pid)


def kill(pid: int) -> None:
    """SIGKILL, and wait until the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        wait_gone(descriptor)


def wait_gone(descriptor: int, seconds: float = 10.0) -> None:
    """Wait for the end of a process by its pidfd, and close that."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    ended = poll.poll(seconds * 1000)
    os.close(descriptor)
    assert ended


@contextmanager
def a_host(state: Path, images: Path, format: str, **options: object) -> Iterator[Host]:
    """A host whose daemons, mounts and loop devices are gone when the context ends."""
    host = Host(state, images, format, **options)  # type: ignore[arg-type]
    guard = subprocess.Popen(["sh", "-c", _GUARD, "guard", str(state)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield host
    finally:
        host.kill_all()
        assert guard.stdin is not None
        guard.stdin.write(b"in order\n")
        guard.communicate(timeout=10)
        for directory in (state / "exports").glob("*-*-*"):
            for name in ("disk", "disk-ro"):
                clean_local(directory / name)


def clean_local(path: Path) -> None:
    """Take away a loop device and a mount, by force."""
    for device in local.attached(str(path)):
        subprocess.run(["umount", "--lazy", "--all-targets", device], check=False, capture_output=True)
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)
    subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)


def call(volume_id: str, generation: int = 2, epoch: int = 1) -> Call:
    """A job's call on one volume."""
    return Call(str(uuid.uuid4()), {volume_id: Token(1, generation, epoch)})


Calls = Callable[..., Call]

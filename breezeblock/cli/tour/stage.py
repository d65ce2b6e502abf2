"""What the chapters of a tour share: the service, the disks in use, what was written, and how something is asked for and awaited."""

import contextlib
import dataclasses
import itertools
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.cli.parts import driver_options
from breezeblock.cli.tour.disks import Disk, Filesystem, Network
from breezeblock.cli.tour.serving import Service
from breezeblock.cli.tour.telling import Narrator
from breezeblock.config import Settings
from breezeblock.config.load import load
from breezeblock.core import faults
from breezeblock.store.connect import open_store
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import jobs

GIB: Final = 1 << 30
DONE_SECONDS: Final = 30.0
"""How long an ordinary request may take to its final status."""
BUSY: Final = "unmount it first"
BUSY_SECONDS: Final = 20.0
_POLL: Final = 0.02
T = TypeVar("T")


class Off(Exception):
    """Something is not as it must be; the message says what, in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the story."""

    name: str
    title: str
    play: "Callable[[Stage], None]"


class Stage:
    """One tour."""

    def __init__(self, place: Path, launch: Sequence[str], narrator: Narrator, *, wants_local: bool) -> None:
        """``place``: a directory of its own."""
        self.place = place
        self.narrator = narrator
        self.service = Service(place, launch)
        self.wants_local = wants_local
        self.local = wants_local
        """Whether disks are local block devices; chapter ``serve`` decides."""
        self.disks: dict[str, Disk] = {}
        """The disks in use, by their volume's name."""
        self.volumes: dict[str, str] = {}
        """Ids by name, of every volume that should exist."""
        self.snapshots: dict[str, str] = {}
        self.written: dict[str, str] = {}
        """Checksums of all records on the volume ``first``."""
        self.snapped: dict[str, str] = {}
        """Those that were durable when the snapshot was asked for."""
        self.too_late: list[str] = []
        """Records of which not a byte was written when the snapshot was there."""
        self.numbers = itertools.count()
        self._attachments: dict[str, str] = {}
        self._store: Store | None = None
        self._settings: Settings | None = None

    # What is said.

    def say(self, sentence: str) -> None:
        """Tell what is being done."""
        self.narrator.say(sentence)

    def check(self, holds: object, claim: str, off: str) -> None:
        """Say that ``claim`` was checked, or raise Off with what is the case instead."""
        if not holds:
            raise Off(off)
        self.found(claim)

    def found(self, claim: str) -> None:
        """Say what was checked: whoever calls it got here because it holds."""
        self.narrator.checked(claim)

    # What is asked for.

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the API; its errors come with the service's own words."""
        return self.service.client.ask(method, path, body)

    def create_volume(self, name: str, **fields: Any) -> str:
        """Ask for a volume of 1 GiB; its id."""
        made = self.ask("POST", "/volumes", {"volume": {"name": name, "size": 1, **fields}})["volume"]
        self.volumes[name] = made["id"]
        return str(made["id"])

    def create_snapshot(self, name: str, volume_id: str) -> str:
        """Ask for a snapshot, of a volume in use too; its id."""
        wanted = {"name": name, "volume_id": volume_id, "force": True}
        self.snapshots[name] = self.ask("POST", "/snapshots", {"snapshot": wanted})["snapshot"]["id"]
        return self.snapshots[name]

    def delete_volume(self, name: str) -> str:
        """Ask for a volume's end; its path, to be awaited."""
        path = f"/volumes/{self.volumes.pop(name)}"
        self.ask("DELETE", path)
        return path

    def show(self, path: str) -> Mapping[str, Any] | None:
        """A resource as the API shows it; None when it is gone."""
        try:
            (shown,) = self.ask("GET", path).values()
        except errors.NotFound:
            return None
        return dict(shown)

    def status(self, path: str) -> str:
        """A resource's status; ``gone`` without it."""
        shown = self.show(path)
        return "gone" if shown is None else str(shown["status"])

    def await_status(self, path: str, wanted: str, seconds: float = DONE_SECONDS) -> None:
        """Wait for a status; Off when another final one comes, or none in time."""
        last = ""

        def there() -> bool:
            nonlocal last
            last = self.status(path)
            if last.startswith("error"):
                raise Off(f"{path} should become {wanted}, and is {last}")
            return last == wanted

        await_(there, seconds, lambda: f"{path} should become {wanted} within {seconds:g} seconds, and is still {last}")

    # What is used.

    def attach(self, name: str, *, made: bool) -> Disk:
        """Attach a volume; ``made``: there are data on it. The disk is closed before :meth:`detach`, or at the tour's end."""
        self.disks[name] = disk = self._attach_local(name, made=made) if self.local else self._attach_network(name)
        return disk

    def _attach_local(self, name: str, *, made: bool) -> Disk:
        device = self.service.command("attach", name)
        self.say(f"'breezeblock attach {name}' gave the block device {device}.")
        return Filesystem(device, self.place / f"mount-{name}", made=made)

    def _attach_network(self, name: str) -> Disk:
        wanted = {"volume_uuid": self.volumes[name], "instance_uuid": None, "connector": {"host": "tour"}}
        made = self.ask("POST", "/attachments", {"attachment": wanted})["attachment"]
        self._attachments[name] = made["id"]
        info = made["connection_info"]
        data = info.get("data", info)
        self.ask("POST", f"/attachments/{made['id']}/action", {"os-complete": None})
        self.say(f"The API gave an NBD export of {name}; qemu-io connects to its socket.")
        return Network(data["socket"], data["export"], self.place)

    def detach(self, name: str) -> None:
        """Let go of the disk, and take the volume away from this machine."""
        self.disks.pop(name).close()
        if self.local:
            self._detach_local(name)
        else:
            self.ask("DELETE", f"/attachments/{self._attachments.pop(name)}")
        self.await_status(f"/volumes/{self.volumes[name]}", "available")

    def _detach_local(self, name: str) -> None:
        """A mount namespace that was made meanwhile (a container's, say) has a copy of our mount, and keeps the device until it ends."""
        refused = ""

        def gone() -> bool:
            nonlocal refused
            try:
                self.service.command("detach", name)
            except subprocess.CalledProcessError as error:
                refused = " ".join(str(error.stderr).split())
                if BUSY not in refused:
                    raise
                return False
            return True

        seconds = await_(gone, BUSY_SECONDS, lambda: f"'breezeblock detach {name}' is refused for {BUSY_SECONDS:g} seconds: {refused}")
        if refused:
            self.say(f"Another process had a copy of the mount; the device was free after {seconds:.1f} s.")

    # What is looked at from outside of the API.

    @property
    def settings(self) -> Settings:
        """Those of the service."""
        if self._settings is None:
            self._settings = load([self.service.state / "breezeblock.conf"], driver_options, state_path=self.service.state)
        return self._settings

    def read(self, name: str, work: Callable[[Tx], T]) -> T:
        """Read the service's database."""
        if self._store is None:
            self._store = open_store(self.settings, "tour", faults.reach)
        return self._store.read(f"tour.{name}", work)

    def unfinished(self) -> int:
        """How many jobs are queued or claimed."""
        statement = sa.select(sa.func.count()).where(jobs.c.state.in_(("queued", "claimed")))
        return int(self.read("unfinished", lambda tx: tx.execute(statement).scalar_one()))

    @property
    def backend_directory(self) -> Path:
        """Where the file backend keeps its files."""
        return Path(self.settings.backend("local").driver_options["file_path"])

    def close(self) -> None:
        """Let go of everything and kill the service, whatever state it is in."""
        for disk in self.disks.values():
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                disk.close()
        self.disks.clear()
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self.service.kill()
        if self._store is not None:
            self._store.dispose()


def await_(condition: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> float:
    """Wait until ``condition`` holds; the seconds that took. Off with ``otherwise`` when they are too many."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise Off(otherwise())
        time.sleep(_POLL)
    return time.monotonic() - began

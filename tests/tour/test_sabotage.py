"""A tour that is sabotaged must fail, say in one line what is off, and leave nothing behind; so must one that is interrupted.

Each runs only the chapters that it needs, on a real service with real disks.
"""

import io
import json
import mmap
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from breezeblock.cli import tour
from breezeblock.cli.tour import cleaning
from breezeblock.cli.tour.stage import Chapter, Stage
from tests.support.service import COMMAND, ROOT

CHAPTERS = {chapter.name: chapter for chapter in tour.STORY}
WITHOUT_RESCUE = """
from breezeblock.core.rescue import Rescued, Rescuer
Rescuer.pass_once = lambda self: Rescued()
from breezeblock.cli.main import main
main()
"""


class Told:
    """A tour's exit code, what it said, and that it left nothing."""

    def __init__(self, *chapters: str | Chapter, launch: Sequence[str] = tour.LAUNCH, local: bool = True) -> None:
        places: list[Path] = []
        first = Chapter("place", "Where it stands", lambda stage: places.append(stage.place))
        said = io.StringIO()
        story = [first, *(CHAPTERS[each] if isinstance(each, str) else each for each in chapters)]
        self.code = tour.run(story, launch, local=local, console=Console(file=said))
        self.text = said.getvalue()
        (place,) = places
        assert_nothing_left(place)

    @property
    def verdict(self) -> str:
        """The one line that says what is off."""
        (line,) = [line for line in self.text.splitlines() if line.startswith("THE TOUR FAILED")]
        assert self.text.splitlines()[-1] == line
        return line


def assert_nothing_left(place: Path) -> None:
    assert not place.exists()
    assert cleaning.mounts(place) == []
    assert cleaning.loops(place) == []
    assert cleaning.daemons(place) == []


def flip(stage: Stage) -> None:
    """Change one byte of one record in the clone's file."""
    name = sorted(stage.snapped)[3]
    head = (stage.place / "mount-first" / name).read_bytes()[:4096]
    (image,) = [path for path in stage.backend_directory.iterdir() if stage.volumes["copy"] in path.name]
    form = json.loads(subprocess.check_output(["qemu-img", "info", "--output", "json", str(image)]))["format"]
    flat, patch = stage.place / "flat", stage.place / "patch"
    subprocess.run(["qemu-img", "convert", "-f", form, "-O", "raw", str(image), str(flat)], check=True)
    with flat.open("rb") as whole, mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ) as data:
        offset = data.find(head)
    assert offset > 0
    patch.write_bytes(head[:100] + bytes([head[100] ^ 1]) + head[101:])
    subprocess.run(["qemu-io", "-f", form, "-c", f"write -s {patch} {offset} {len(head)}", str(image)], check=True, capture_output=True)


def leak(stage: Stage) -> None:
    """Leave a file in the backend's directory that no volume has."""
    (stage.backend_directory / "forgotten").write_bytes(b"bytes that nobody has")


def kill_daemons(stage: Stage) -> None:
    """Do to the disk what must never happen to it."""
    (pid,) = cleaning.daemons(stage.place)
    os.kill(pid, signal.SIGKILL)


def test_a_copied_mount_is_waited_for() -> None:
    """As a container that starts has one, in its mount namespace."""
    copies: list[subprocess.Popen[bytes]] = []

    def copy(_stage: Stage) -> None:
        copies.append(subprocess.Popen(["unshare", "--mount", "sh", "-c", "echo; exec sleep 4"], stdout=subprocess.PIPE))
        assert copies[0].stdout is not None
        assert copies[0].stdout.readline()

    told = Told("serve", "create", "attach", "fill", Chapter("copy", "Mounts are copied", copy), "delete")
    copies[0].communicate(timeout=10)
    assert told.code == 0, told.text
    assert "Another process had a copy of the mount; the device was free after" in told.text


def test_a_flipped_byte_in_the_clone_is_found() -> None:
    told = Told("serve", "create", "attach", "fill", "snapshot", "clone", Chapter("flip", "A byte is flipped", flip), "verify-clone")
    assert told.code == 1
    assert re.search(r"chapter 'verify-clone': data of volume 'copy': 1 of \d+ records have a wrong checksum, the first is", told.verdict)


def test_rescue_that_is_switched_off_is_found() -> None:
    told = Told("serve", "rescue", launch=(sys.executable, "-c", WITHOUT_RESCUE))
    assert told.code == 1
    assert re.search(r"chapter 'rescue': \d+ jobs? unfinished 20 seconds after the volume worker was killed", told.verdict)
    assert told.verdict.endswith("nobody rescued them")


def test_a_file_that_leaked_on_the_backend_is_found() -> None:
    told = Told("serve", "create", "delete", Chapter("leak", "A file is left", leak), "zero")
    assert told.code == 1
    assert told.verdict.endswith("holds a leak, which no volume has and no collection takes: forgotten")


def test_a_disk_that_dies_with_the_service_is_found() -> None:
    told = Told("serve", "create", "attach", "fill", Chapter("die", "The disk's daemon dies", kill_daemons), "outage")
    assert told.code == 1
    assert "chapter 'outage': writing stopped: [Errno 5] Input/output error" in told.verdict


def test_the_story_is_told_over_nbd_where_there_are_no_block_devices() -> None:
    told = Told("serve", "create", "attach", "fill", "snapshot", "clone", "verify-clone", "extend", "delete", local=False)
    assert told.code == 0, told.text
    assert "qemu-io connects to its socket" in told.text
    assert "block device /dev" not in told.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_tour_takes_everything_away(number: int) -> None:
    process = subprocess.Popen([*COMMAND, "tour"], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    place = None
    for line in process.stdout:
        place = Path(found[1]) if (found := re.search(r"state in (\S+)/state", line)) else place
        if "Made an XFS filesystem" in line:
            break
    assert place is not None
    assert cleaning.mounts(place)
    assert cleaning.daemons(place)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == tour.INTERRUPTED
    assert said.splitlines()[-1] == "THE TOUR FAILED interrupted; what the tour had started has been taken away"
    assert_nothing_left(place)

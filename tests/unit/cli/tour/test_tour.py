"""How a tour ends, without a service; and how records are judged."""

import hashlib
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from breezeblock import errors
from breezeblock.cli import tour
from breezeblock.cli.tour import cleaning, disks, writer
from breezeblock.cli.tour.stage import Chapter, Off, Stage, await_
from breezeblock.cli.tour.writer import Written


class Memory:
    """A disk that can forget, and flip a bit."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.flips = False

    def write(self, name: str, data: bytes) -> None:
        self.records[name] = bytes([data[0] ^ 1]) + data[1:] if self.flips else data

    def digests(self, names: Iterable[str]) -> Mapping[str, str]:
        return {name: hashlib.sha256(self.records[name]).hexdigest() for name in names if name in self.records}

    def prepare(self) -> str:
        return ""

    def size(self) -> int:
        return 0

    def grow(self) -> str:
        return ""

    def check(self) -> str:
        return ""

    def close(self) -> None:
        self.records.clear()


def told(*plays: Callable[[Stage], None]) -> tuple[int, str]:
    said = io.StringIO()
    chapters = [Chapter(f"c{number}", f"Chapter {number}", play) for number, play in enumerate(plays)]
    return tour.run(chapters, console=Console(file=said)), said.getvalue()


def raising(error: BaseException) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        raise error

    return play


def test_a_good_tour_ends_with_zero_and_leaves_no_directory() -> None:
    places: list[Path] = []
    code, said = told(lambda stage: places.append(stage.place))
    assert code == 0
    assert "everything was as it must be" in said
    assert not places[0].exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Off("a byte is wrong"), "a byte is wrong"),
        (errors.NotFound(kind="Volume", id="x"), "Volume x could not be found."),
        (OSError("disk\ngone"), "disk gone"),
        (subprocess.CalledProcessError(3, ["mount", "x"], stderr="no\nway\n"), "mount failed with exit code 3: no way"),
    ],
)
def test_the_first_thing_that_is_off_ends_the_tour_with_one_line(error: Exception, line: str) -> None:
    later: list[Stage] = []
    code, said = told(raising(error), later.append)
    assert code == 1
    assert said.splitlines()[-1] == f"THE TOUR FAILED chapter 'c0': {line}"
    assert later == []


def test_an_interruption_has_its_own_exit_code() -> None:
    code, said = told(raising(KeyboardInterrupt()))
    assert code == tour.INTERRUPTED
    assert said.splitlines()[-1].startswith("THE TOUR FAILED interrupted")


def test_what_could_not_be_taken_away_fails_a_tour_that_was_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "sweep", lambda _place: "/dev/loop7")
    code, said = told(lambda _stage: None)
    assert code == 1
    assert said.splitlines()[-1].endswith("could not take away what it made: /dev/loop7")


def test_a_check_that_does_not_hold_says_what_is_the_case() -> None:
    code, said = told(lambda stage: stage.check(holds=False, claim="all is well", off="nothing is well"))
    assert code == 1
    assert "all is well" not in said
    assert said.splitlines()[-1].endswith("nothing is well")


def test_records_that_are_missing_or_wrong_are_named() -> None:
    disk = Memory()
    wanted = {record.name: record.digest for record in (writer.write(disk, f"record-{number}") for number in range(4))}
    assert writer.differences(disk, wanted) == ""
    del disk.records["record-1"]
    disk.records["record-2"] = b"x"
    assert writer.differences(disk, wanted) == (
        "1 of 4 records are missing, the first is record-1; 1 of 4 records have a wrong checksum, the first is record-2"
    )


def test_a_writer_notices_what_it_reads_back() -> None:
    disk = Memory()
    with writer.writing(disk, iter(range(1000))) as at_work:
        assert at_work.more(2, 10)
        disk.flips = True
        assert not at_work.more(1000, 10)
    assert at_work.failure.endswith("was read back with other bytes than were written")


def test_the_longest_pause_is_between_the_ends_of_neighbours() -> None:
    ends = (1.0, 1.5, 4.0, 4.1)
    assert writer.longest_pause([Written("r", "d", 0.0, end) for end in ends]) == 2.5
    assert writer.longest_pause([]) == 0.0


def test_waiting_is_bounded_and_ends_with_words() -> None:
    with pytest.raises(Off, match="it never came"):
        await_(lambda: False, 0.05, lambda: "it never came")


def test_a_machine_without_the_tools_makes_no_block_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert disks.missing_for_local() == "that needs root"
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda path, _mode: path != "/dev/fuse")
    assert disks.missing_for_local() == "there is no usable /dev/fuse"
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "xfs_growfs" else tool)
    assert disks.missing_for_local() == "xfs_growfs is not installed"

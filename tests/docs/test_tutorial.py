"""The tutorial works: every command of its console blocks is run against a live service, and prints what the page says.

``...`` in the page stands for any lines. A command that only looks (show, list) is repeated for a bounded time, as
the page tells the reader to. The first block starts the service; here it is started on a free port.
"""

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.service import ROOT, Service, running

PAGE = ROOT / "docs" / "tutorial" / "first-volume.md"
DOCUMENTED = "http://127.0.0.1:8776"
LOOKS = re.compile(r"^openstack (?:volume|volume snapshot) (?:show|list) ")
START = "make run 2>serve.log"
PATIENCE_SECONDS = 40.0
"""For what comes true by itself; a lease is 10 s, and this machine may be slow."""
COMMAND_SECONDS = 60.0
MARK = "=== done with code"


@dataclass(frozen=True)
class Step:
    """A command and the lines that it prints."""

    command: str
    printed: tuple[str, ...]


def steps(page: str) -> list[Step]:
    """Every command of the page's console blocks, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return [Step(command, tuple(printed)) for command, printed in found]


def says(wanted: Sequence[str], printed: str) -> bool:
    """Whether the lines are those of the page; ``...`` stands for any."""
    pattern = "".join("(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in wanted)
    return re.fullmatch(pattern, printed) is not None


class Shell:
    """One bash for the whole lesson, as the reader has."""

    def __init__(self, folder: Path) -> None:
        """Start it in ``folder``."""
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, command: str) -> str:
        """What the command prints; AssertionError when it fails, or does not end in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{command}\necho "{MARK} $?"\n'.encode())
        self._process.stdin.flush()
        deadline, printed = time.monotonic() + COMMAND_SECONDS, ""
        while not (end := re.search(rf"^{MARK} (\d+)\n", printed, re.MULTILINE)):
            ready = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert data, f"{command} did not end; it printed:\n{printed}"
            printed += data.decode()
        assert end[1] == "0", f"{command} failed:\n{printed}"
        return printed[: end.start()]

    def close(self) -> None:
        """Let go of what a broken lesson left mounted, and end."""
        with contextlib.suppress(AssertionError, BrokenPipeError):
            self.run("umount -q build/copy build/disk; for one in copy lesson; do breezeblock detach $one; done; true")
        self._process.kill()
        self._process.communicate(timeout=10)


def clone(folder: Path) -> None:
    """What the reader's clone has after `make run`: the environment's commands, and the pinned versions."""
    bins = folder / ".venv" / "bin"
    bins.mkdir(parents=True)
    real = Path(sys.executable).parent
    script = "#!/bin/sh\nPYTHONPATH='{root}' exec '{real}/{command}' \"$@\"\n"
    for name, command in {"pip": "pip", "openstack": "openstack", "breezeblock": "python' -m 'breezeblock"}.items():
        (bins / name).write_text(script.format(root=ROOT, real=real, command=command))
        (bins / name).chmod(0o755)
    (folder / "constraints.txt").symlink_to(ROOT / "constraints.txt")
    (folder / "serve.log").symlink_to(folder / "state.log")


@pytest.fixture
def lesson(tmp_path: Path) -> Iterator[tuple[Service, Shell]]:
    clone(tmp_path)
    with running(Service(tmp_path / "state")) as service:
        service.start()
        shell = Shell(tmp_path)
        try:
            yield service, shell
        finally:
            shell.close()
            subprocess.run(
                [sys.executable, "-m", "breezeblock", "exports", "stop", "--state-dir", tmp_path / "state"],
                env=service.env,
                capture_output=True,
                timeout=30,
                check=False,
            )


def follow(step: Step, shell: Shell, url: str) -> None:
    """Do the step, and see what the page says."""
    command = step.command.replace(f"{DOCUMENTED}/v3", url)
    deadline = time.monotonic() + (PATIENCE_SECONDS if LOOKS.search(command) else 0)
    while not says(step.printed, printed := shell.run(command)):
        assert time.monotonic() < deadline, f"$ {command}\nprinted\n{printed}and not\n" + "\n".join(step.printed)


@pytest.mark.timeout(240)
def test_the_lesson_works(lesson: tuple[Service, Shell]) -> None:
    service, shell = lesson
    first, *others = steps(PAGE.read_text())
    assert first.command == START
    assert says(
        [line.replace(f"{DOCUMENTED}/v3", service.url) for line in first.printed], "".join(f"{line}\n" for line in service.said) + "\n"
    )
    for step in others:
        follow(step, shell, service.url)
    assert service.stop() == 0
    assert service.said[-1] == "Breezeblock has stopped. No export was running."


def test_a_page_is_read_as_a_reader_reads_it() -> None:
    page = "Do:\n\n```console\n$ one\n$ two a\nsaid\n...\n```\n\n```sh\n$ not this\n```\n"
    assert steps(page) == [Step("one", ()), Step("two a", ("said", "..."))]


@pytest.mark.parametrize(
    ("wanted", "printed", "same"),
    [
        (["a", "b"], "a\nb\n", True),
        (["a"], "a\nb\n", False),
        (["a", "..."], "a\nb\nc\n", True),
        ([], "", True),
        ([], "complaint\n", False),
        (["a.c"], "abc\n", False),
    ],
)
def test_what_is_printed_is_compared(wanted: list[str], printed: str, same: bool) -> None:
    assert says(wanted, printed) is same


def test_a_failing_command_fails_the_lesson(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    try:
        with pytest.raises(AssertionError, match="failed"):
            shell.run("false")
        assert shell.run("echo on") == "on\n"
    finally:
        shell.close()

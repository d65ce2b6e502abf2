"""The supervisor, with real processes that do next to nothing."""

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from breezeblock.cli.supervisor import Announce, Child, Patience, Supervisor

QUICK = Patience(first=0.01, longest=0.05, healthy=20.0, loop=3)


def sleeper(announce: Announce) -> int:
    """Runs until SIGTERM."""
    announce()
    signal.sigwait({signal.SIGTERM})
    return 0


def waiting(run: Callable[[Announce], int]) -> Callable[[Announce], int]:
    """With SIGTERM blocked first, so that it can be waited for."""

    def blocked(announce: Announce) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        return run(announce)

    return blocked


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Story:
    """Runs a supervisor in a process of its own, which must have one thread, and lets it react to its children's announcements."""

    def __init__(self, tmp_path: Path) -> None:
        self.ready: list[str] = []
        """In the supervisor's process only: who announced itself, in order."""
        self.journal = tmp_path / "journal"
        self.journal.touch()

    def run(self, children: list[Child], on_ready: Callable[[str], None], patience: Patience = QUICK) -> int:
        """The supervisor's result."""

        def ready(name: str) -> None:
            self.ready.append(name)
            on_ready(name)

        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            logging.getLogger().handlers[:] = [logging.FileHandler(self.journal)]
            logging.getLogger().setLevel(logging.INFO)
            code = 99
            try:
                code = Supervisor(children, patience, ready).run()
                self.note(f"mask {sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))}")
            finally:
                os._exit(code)
        watched = os.pidfd_open(pid)
        try:
            if not select.select([watched], [], [], 20)[0]:
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(watched)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def note(self, text: str) -> None:
        with self.journal.open("a") as file:
            file.write(text + "\n")

    def notes(self) -> list[str]:
        """What children and the supervisor's log said, in order."""
        return self.journal.read_text().splitlines()

    def said(self, text: str) -> int:
        """How often."""
        return self.journal.read_text().count(text)

    def child(self, name: str, stage: int = 0, grace: float = 5.0, run: Callable[[Announce], int] = sleeper) -> Child:
        """A child that writes down its pid and, in order, its end."""

        def noting(announce: Announce) -> int:
            self.note(f"{name} began {os.getpid()}")
            code = run(announce)
            self.note(f"{name} ended")
            return code

        return Child(name, waiting(noting), stage, grace)

    def pids(self, name: str) -> list[int]:
        return [int(line.split()[2]) for line in self.notes() if line.startswith(f"{name} began")]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_children_end_stage_by_stage(story: Story) -> None:
    def on_ready(_: str) -> None:
        if len(story.ready) == 3:
            stop()

    assert story.run([story.child("worker", stage=1), story.child("api"), story.child("backup", stage=1)], on_ready) == 0
    assert next(line for line in story.notes() if line.endswith("ended")) == "api ended"
    assert len([line for line in story.notes() if line.endswith("ended")]) == 3


def test_a_killed_child_is_started_again(story: Story) -> None:
    def on_ready(name: str) -> None:
        if len(story.ready) == 1:
            os.kill(story.pids("one")[0], signal.SIGKILL)
        else:
            stop()

    assert story.run([story.child("one")], on_ready) == 0
    first, second = story.pids("one")
    assert first != second
    assert not alive(first)
    assert story.said("one ended with signal SIGKILL")


def test_a_crash_loop_waits_longer_and_longer_and_is_called_one(story: Story) -> None:
    def crash(announce: Announce) -> int:
        announce()
        raise RuntimeError("no backend")

    def on_ready(_: str) -> None:
        if len(story.ready) == 5:
            stop()

    began = time.monotonic()
    story.run([story.child("one", run=crash)], on_ready)
    assert time.monotonic() - began >= 0.01 + 0.02 + 0.04 + 0.05
    assert story.said("CRASH LOOP: one has ended 2 times") == 0
    assert story.said("CRASH LOOP: one has ended 3 times in a row, now with exit code 1") == 1
    assert story.said("CRASH LOOP: one has ended 4 times in a row, now with exit code 1") == 1
    assert story.said("RuntimeError: no backend") >= 4


def test_patience_doubles_to_its_limit() -> None:
    patience = Patience(first=0.1, longest=1.0)
    assert [patience.wait(deaths) for deaths in (1, 2, 3, 4, 5, 200)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_child_that_lived_long_is_forgiven(story: Story) -> None:
    def crash(announce: Announce) -> int:
        announce()
        return 3

    def on_ready(_: str) -> None:
        if len(story.ready) == 6:
            stop()

    story.run([story.child("one", run=crash)], on_ready, Patience(first=0.001, healthy=0.0, loop=3))
    assert not story.said("CRASH LOOP")
    assert story.said("exit code 3")


def stubborn(announce: Announce) -> int:
    """Does not react to SIGTERM, which is blocked."""
    announce()
    while True:
        signal.sigwait({signal.SIGUSR2})


def test_a_child_that_does_not_end_is_killed_when_its_grace_is_over(story: Story) -> None:
    began = time.monotonic()
    assert story.run([story.child("one", grace=0.1, run=stubborn)], lambda _: stop()) == 1
    assert 0.1 <= time.monotonic() - began < 5
    assert not alive(story.pids("one")[0])
    assert story.said("did not end in time: one")


def test_a_second_signal_ends_everything_at_once(story: Story) -> None:
    def on_ready(_: str) -> None:
        if len(story.ready) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)

    began = time.monotonic()
    children = [story.child("one", grace=60, run=stubborn), story.child("two", stage=1, grace=60, run=stubborn)]
    assert story.run(children, on_ready) == 1
    assert time.monotonic() - began < 5
    assert not alive(story.pids("one")[0])
    assert not alive(story.pids("two")[0])
    assert story.said("stopping at once")


def test_a_child_has_its_own_session_no_input_and_clean_signals(story: Story) -> None:
    def look(announce: Announce) -> int:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - {signal.SIGTERM}
        story.note(f"{os.getsid(0) == os.getpid()} {Path('/proc/self/fd/0').readlink()} {sorted(blocked)}")
        return sleeper(announce)

    story.run([story.child("one", run=look)], lambda _: stop())
    assert "True /dev/null []" in story.notes()


def test_the_callers_signal_mask_is_restored(story: Story) -> None:
    story.run([story.child("one")], lambda _: stop())
    assert "mask []" in story.notes()


def test_strangers_are_reaped_where_we_are_the_first_process(story: Story) -> None:
    strays: list[int] = []

    def on_ready(_: str) -> None:
        if not strays:
            strays.append(os.fork())
            if strays == [0]:
                os._exit(0)
            os.waitid(os.P_PID, strays[0], os.WEXITED | os.WNOWAIT)
            os.kill(story.pids("one")[0], signal.SIGKILL)
        else:
            story.note(f"stray {Path(f'/proc/{strays[0]}').exists()}")
            stop()

    assert story.run([story.child("one")], on_ready) == 0
    assert "stray False" in story.notes()


def test_a_grandchild_may_announce_for_its_child(story: Story) -> None:
    def fork_one(announce: Announce) -> int:
        if os.fork() == 0:
            announce()
            os._exit(0)
        signal.sigwait({signal.SIGTERM})
        return 0

    def greet(name: str) -> None:
        story.note(f"greeted {name}")
        stop()

    def quiet(_: Announce) -> int:
        return int(signal.sigwait({signal.SIGTERM}) != signal.SIGTERM)

    story.run([story.child("api", run=fork_one), story.child("other", run=quiet)], greet)
    assert story.said("greeted api") == 1

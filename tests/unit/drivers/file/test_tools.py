"""Tools: their end is their caller's end, and their complaints become errors."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.file import tools
from breezeblock.drivers.file.tools import Tools


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not alive(pid)


def test_output_and_environment() -> None:
    assert Tools().run(["sh", "-c", "echo $LC_ALL"], timeout=10, what="x") == "C\n"


@pytest.mark.parametrize(
    ("complaint", "error"),
    [
        ("qemu-img: error while writing: No space left on device", errors.NoSpace),
        ("qemu-img: Could not open 'x': No such file or directory", errors.ObjectMissing),
        ('Failed to get "write" lock\nIs another process using the image [x]?', errors.ObjectBusy),
        ("something else", errors.DriverError),
    ],
)
def test_complaints_are_translated(complaint: str, error: type[errors.DriverError]) -> None:
    with pytest.raises(error) as raised:
        Tools().run(["sh", "-c", f"echo '{complaint}' >&2; exit 1"], timeout=10, what="the volume")
    assert type(raised.value) is error
    assert "the volume" in str(raised.value)


def test_a_tool_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with pytest.raises(errors.DriverError, match=r"stopped after 0\.2 seconds"):
        Tools().run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], timeout=0.2, what="x")
    assert not alive(int((tmp_path / "pid").read_text()))


def in_a_thread_that_ends(spawn: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Spawn, wait until the tool runs, and let the thread that did so end."""
    started: list[subprocess.Popen[str]] = []

    def run() -> None:
        started.append(spawn())
        assert started[0].stdout is not None
        assert started[0].stdout.readline() == "runs\n"

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return started[0]


def test_a_tool_outlives_the_thread_that_asked_for_it() -> None:
    """The kernel sends the parent-death signal when the spawning thread ends; ours lives as long as the driver."""
    runner, argv = Tools(), ["sh", "-c", "echo runs; exec sleep 0.1"]
    survivor = in_a_thread_that_ends(lambda: runner._spawning_thread().submit(tools._spawn, argv, ()).result())
    victim = in_a_thread_that_ends(lambda: tools._spawn(argv, ()))
    with survivor, victim:
        assert survivor.wait(10) == 0
        assert victim.wait(10) == -signal.SIGKILL


def test_one_thread_spawns_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks, and however short its life: the spawning thread is always the same, and lives on."""
    spawners: list[threading.Thread] = []
    spawn = tools._spawn

    def noting(argv: Sequence[str], keep_open: Sequence[int]) -> subprocess.Popen[str]:
        spawners.append(threading.current_thread())
        return spawn(argv, keep_open)

    monkeypatch.setattr(tools, "_spawn", noting)
    runner = Tools()
    for _ in range(2):
        asks = threading.Thread(target=lambda: runner.run(["true"], timeout=10, what="x"))
        asks.start()
        asks.join(10)
    assert spawners[0] is spawners[1]
    assert spawners[0].is_alive()


def test_a_tool_ends_with_its_process(tmp_path: Path) -> None:
    """Killed outright, even while the tool is stopped."""
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    code = (
        "from breezeblock.drivers.file.tools import Tools\n"
        f"Tools().run(['sh', '-c', 'echo $$ > {fifo}; kill -STOP $$; exec sleep 60'], timeout=60, what='x')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    tool = int(fifo.read_text())
    assert alive(tool)
    parent.kill()
    parent.wait(10)
    assert gone(tool)


def test_a_tool_whose_parent_is_gone_before_it_starts_does_nothing(tmp_path: Path) -> None:
    """The window between the fork and the parent-death signal: the helper looks who its parent is."""
    mark = tmp_path / "ran"
    not_the_parent = str(os.getppid())
    done = subprocess.run(["sh", "-c", tools._CHECK_PARENT, not_the_parent, "touch", str(mark)], check=False)
    assert done.returncode == 125
    assert not mark.exists()


def test_a_lock_that_was_handed_on_is_held_until_the_tool_ends(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    started = tools._spawn(["sleep", "60"], [lock])
    os.close(lock)
    try:
        other = os.open(tmp_path / "lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        started.kill()
        started.communicate(timeout=10)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
    finally:
        started.kill()
        started.wait(10)

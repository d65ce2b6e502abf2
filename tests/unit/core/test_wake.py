"""Wake-up hints: they arrive, they are never in the way, and dead listeners are forgotten."""

import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from breezeblock.core.wake import FOLDER, WakeListener, Waker, sweep


@pytest.fixture
def waker(tmp_path: Path) -> Iterator[Waker]:
    waker = Waker(tmp_path)
    yield waker
    waker.close()


def sockets(state: Path) -> list[Path]:
    return [path for path in (state / FOLDER).rglob("*") if path.is_socket()]


def test_a_hint_reaches_those_who_listen_to_its_queue(tmp_path: Path, waker: Waker) -> None:
    with WakeListener(tmp_path, "one", {"volume:a@b", "scheduler"}) as one, WakeListener(tmp_path, "two", {"scheduler"}) as two:
        waker.wake({"volume:a@b"})
        assert one.wait(5) == {"volume:a@b"}
        assert two.wait(0) == frozenset()
        waker.wake({"scheduler", "volume:a@b", "elsewhere"})
        assert one.wait(5) | one.wait(0.01) == {"scheduler", "volume:a@b"}
        assert two.wait(5) == {"scheduler"}


def test_waiting_ends_as_soon_as_the_hint_comes(tmp_path: Path, waker: Waker) -> None:
    with WakeListener(tmp_path, "one", {"q"}) as listener:
        timer = threading.Timer(0.05, waker.wake, [["q"]])
        began = time.monotonic()
        timer.start()
        assert listener.wait(30) == {"q"}
        assert time.monotonic() - began < 5


def test_nothing_comes_in_time(tmp_path: Path) -> None:
    with WakeListener(tmp_path, "one", {"q"}) as listener:
        assert listener.wait(0.01) == frozenset()


def test_a_flood_neither_blocks_nor_gathers(tmp_path: Path, waker: Waker) -> None:
    with WakeListener(tmp_path, "one", {"q"}) as listener:
        for _ in range(5000):
            waker.wake(["q"])
        assert listener.wait(5) == {"q"}
        assert listener.wait(0) == frozenset()


def test_interrupt_ends_a_wait_without_a_queue(tmp_path: Path) -> None:
    with WakeListener(tmp_path, "one", {"q"}) as listener:
        threading.Timer(0.02, listener.interrupt).start()
        assert listener.wait(30) == frozenset()


def test_a_killed_listener_is_forgotten_by_the_next_hint(tmp_path: Path, waker: Waker) -> None:
    ready, child_side = socket.socketpair()
    child = os.fork()
    if child == 0:
        WakeListener(tmp_path, "dead", {"q"})
        child_side.send(b"r")
        signal.pause()
    assert ready.recv(1) == b"r"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(sockets(tmp_path)) == 2
    waker.wake(["q"])
    assert [path.name for path in sockets(tmp_path)] == ["dead.own"]
    sweep(tmp_path)
    assert sockets(tmp_path) == []


def test_the_sweep_leaves_the_living(tmp_path: Path, waker: Waker) -> None:
    with WakeListener(tmp_path, "one", {"q"}) as listener:
        sweep(tmp_path)
        waker.wake(["q"])
        assert listener.wait(5) == {"q"}
    assert sockets(tmp_path) == []


def test_a_state_directory_with_a_long_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    waker = Waker(deep)
    with WakeListener(deep, "00000000-0000-0000-0000-000000000000", {"q" * 200}) as listener:
        waker.wake(["q" * 200])
        assert listener.wait(5) == {"q" * 200}
    waker.close()


def test_waking_nobody_is_no_error(waker: Waker) -> None:
    waker.wake(["nobody"])


def test_other_hosts_get_what_gathered_while_a_message_was_on_its_way(tmp_path: Path) -> None:
    sent: list[frozenset[str]] = []
    began, go_on = threading.Event(), threading.Event()

    def remote(queues: frozenset[str]) -> None:
        sent.append(queues)
        began.set()
        assert go_on.wait(5)

    waker = Waker(tmp_path, remote)
    waker.wake(["a"])
    assert began.wait(5)
    for _ in range(100):
        waker.wake(["b"])
        waker.wake(["c"])
    go_on.set()
    waker.close()
    assert sent == [{"a"}, {"b", "c"}]


def test_an_error_of_the_remote_side_is_no_error_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def remote(queues: frozenset[str]) -> None:
        raise OSError("gone away")

    waker = Waker(tmp_path, remote)
    waker.wake(["a"])
    waker.close()
    assert "gone away" in caplog.text


class Pipe:
    """Notifications of other hosts, by a pipe."""

    def __init__(self) -> None:
        self.readable, self.writable = os.pipe()

    def fileno(self) -> int:
        return self.readable

    def read(self) -> Collection[str]:
        os.set_blocking(self.readable, False)
        try:
            return os.read(self.readable, 100).decode().split()
        except BlockingIOError:
            return ()


def test_hints_of_other_hosts_wake_too(tmp_path: Path) -> None:
    pipe = Pipe()
    with WakeListener(tmp_path, "one", {"q"}, pipe) as listener:
        os.write(pipe.writable, b"q other")
        assert listener.wait(5) == {"q"}
        assert listener.wait(0) == frozenset()
    os.close(pipe.readable)
    os.close(pipe.writable)

"""Lone processes: a job whose last holder died uncleanly runs in a process of its own, where only it can be hurt (protocol rule R5).

A :class:`Spawner` is a child that the worker forks before it starts any thread. It stays single-threaded and without
connections, so it can fork at any time; each of its children runs one job and ends. All of them die with their parent.
"""

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from breezeblock.core.processes import die_with

_LINE: Final = 37
"""A job id and a newline."""


class Spawner:
    """The worker's end: asks for lone processes and hears of their ends."""

    def __init__(self, run: Callable[[str], int]) -> None:
        """Fork the spawner. ``run`` performs one job by its id in the lone process; must be called while there is one thread."""
        assert threading.active_count() == 1, "a process with threads cannot fork safely"
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            die_with(parent)
            _serve(theirs, run)
        theirs.close()

    def start(self, job_id: str) -> None:
        """Run this job in a lone process."""
        self._socket.send(job_id.encode())

    def watch(self, ended: Callable[[str], None]) -> None:
        """Start a thread that reports the end of each lone process, by its job's id."""
        threading.Thread(target=self._hear, args=(ended,), name="lone-processes", daemon=True).start()

    def _hear(self, ended: Callable[[str], None]) -> None:
        while True:
            job_id = self._socket.recv(_LINE)
            if not job_id:
                return
            ended(job_id.decode())

    def close(self) -> None:
        """End the spawner and every lone process."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _serve(link: socket.socket, run: Callable[[str], int]) -> NoReturn:
    """The spawner's life: fork when asked, reap when a child ends, end with the link."""
    running: dict[int, str] = {}
    ready, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake.fileno())
    while True:
        readable, _, _ = select.select([link, ready], [], [])
        if ready in readable:
            ready.recv(4096)
            _reap(link, running)
        if link in readable:
            request = link.recv(_LINE)
            if not request:
                os._exit(0)
            running[_fork(request.decode(), run, (link, ready, wake))] = request.decode()


def _fork(job_id: str, run: Callable[[str], int], inherited: tuple[socket.socket, ...]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for each in inherited:
            each.close()
        die_with(parent)
        code = run(job_id)
    finally:
        os._exit(code)


def _reap(link: socket.socket, running: dict[int, str]) -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        with contextlib.suppress(OSError):
            link.send(running.pop(pid).encode())

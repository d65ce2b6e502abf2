"""Wake-up hints: after a commit, the processes that serve a queue are told to look at it now.

On one host a hint is a datagram: every listening process has one unix socket, linked into a folder
for each of its queues, ``<state>/run/wake/<queue>/<process>``. Other hosts are told by whatever the
database offers (NOTIFY on PostgreSQL), through one thread that sends what has gathered meanwhile.

A hint may be lost, late or wrong, and nobody may depend on it: everything polls too (protocol rule
R7). So no error of a hint ever reaches the caller, whose commit stands.
"""

import contextlib
import errno
import hashlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Protocol, Self

FOLDER: Final = Path("run", "wake")
"""Under the state directory."""
_STOP: Final = b"\0"
_log = logging.getLogger(__name__)

Remote = Callable[[frozenset[str]], None]
"""Tells other hosts; may block for a moment, and may raise anything."""


class Notifications(Protocol):
    """Where hints of other hosts arrive."""

    def fileno(self) -> int:
        """Becomes readable when there is something to read. It may change when the connection is made anew."""

    def read(self) -> Collection[str]:
        """The queues hinted at since the last call; never blocks."""


def _folder_of(queue: str) -> str:
    return hashlib.blake2b(queue.encode(), digest_size=8).hexdigest()


class _Root:
    """The folder of all hints, held open: paths below it go through /proc/self/fd, because a socket's path is at most 107 bytes long."""

    def __init__(self, state_path: Path) -> None:
        path = state_path / FOLDER
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def path(self, *parts: str) -> Path:
        return Path(f"/proc/self/fd/{self.fd}", *parts)

    def close(self) -> None:
        os.close(self.fd)


class Waker:
    """Sends hints; safe for use by many threads."""

    def __init__(self, state_path: Path, remote: Remote | None = None) -> None:
        self._root = _Root(state_path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._remote = _Gatherer(remote) if remote else None

    def wake(self, queues: Collection[str]) -> None:
        """Hint at each of ``queues`` to whoever listens to it. Never raises, never blocks."""
        for queue in queues:
            self._wake_here(queue)
        if self._remote:
            self._remote.add(queues)

    def close(self) -> None:
        """Send what has gathered for other hosts, and close."""
        if self._remote:
            self._remote.close()
        self._socket.close()
        self._root.close()

    def _wake_here(self, queue: str) -> None:
        folder = _folder_of(queue)
        try:
            listeners = list(self._root.path(folder).iterdir())
        except OSError:
            return
        for listener in listeners:
            self._send(queue, listener)

    def _send(self, queue: str, path: Path) -> None:
        try:
            self._socket.sendto(queue.encode(), str(path))
        except BlockingIOError:
            return  # its mailbox is full, so it will wake up anyway
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:  # its process has ended
                with contextlib.suppress(OSError):
                    path.unlink()
            elif error.errno != errno.ENOENT:
                _log.warning("a wake-up hint for %s was not sent: %s", queue, error)


class _Gatherer:
    """One thread that tells other hosts: what comes while a message is on its way goes with the next."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._gathered: set[str] = set()
        self._closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, queues: Collection[str]) -> None:
        with self._changed:
            self._gathered.update(queues)
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="wake", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._gathered or self._closing)
                if not self._gathered:
                    return
                queues, self._gathered = frozenset(self._gathered), set()
            try:
                self._remote(queues)
            except Exception as error:  # noqa: BLE001 - whatever it is, it was a hint
                _log.warning("wake-up hints were not sent to other hosts: %s", error)


class WakeListener:
    """Receives the hints for ``queues``; one for each process, named by its incarnation, and waited on by one thread."""

    def __init__(self, state_path: Path, name: str, queues: Collection[str], notifications: Notifications | None = None) -> None:
        self.queues = frozenset(queues)
        self._root = _Root(state_path)
        self._notifications = notifications
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._own = self._root.path(f"{name}.own")
        self._paths = [self._root.path(_folder_of(queue), name) for queue in sorted(self.queues)]
        self._socket.bind(str(self._own))
        for path in self._paths:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            os.link(self._own, path)

    def wait(self, timeout: float) -> frozenset[str]:
        """Block until a hint arrives, at most ``timeout`` seconds; the queues hinted at since the last call. One thread at a time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if self._notifications is not None:
            poll.register(self._notifications.fileno(), select.POLLIN)
        poll.poll(max(0.0, timeout) * 1000)
        found = self._drain()
        if self._notifications is not None:
            found.update(self._notifications.read())
        return self.queues & found

    def interrupt(self) -> None:
        """Make a ``wait`` of another thread return now."""
        with contextlib.suppress(OSError):
            self._socket.sendto(_STOP, str(self._own))

    def close(self) -> None:
        """Take the sockets away; hints are not sent here any more."""
        for path in [*self._paths, self._own]:
            path.unlink(missing_ok=True)
        self._socket.close()
        self._root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _drain(self) -> set[str]:
        found = set()
        while True:
            try:
                found.add(self._socket.recv(1024).decode(errors="replace"))
            except BlockingIOError:
                return found


def sweep(state_path: Path) -> None:
    """Remove the sockets of processes that have ended. For the one who starts a state directory's processes."""
    root = _Root(state_path)
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        for folder, _, names in os.walk(root.path()):
            for name in names:
                _unlink_if_stale(probe, Path(folder, name))
    finally:
        probe.close()
        root.close()


def _unlink_if_stale(probe: socket.socket, path: Path) -> None:
    try:
        probe.connect(str(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError:
        return

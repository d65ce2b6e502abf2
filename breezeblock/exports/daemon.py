"""The life of a volume's storage daemon: start it, find it again, end it. Every function runs within the volume's gate.

A daemon is nobody's child: it has a session of its own and belongs to init, so it outlives the
worker that started it, its process group and its supervisor. It inherits the volume's lock and
keeps it until its own end: whoever gets the lock knows that there is no daemon, and while it is
held a second one cannot start (protocol rule R6; QEMU's own locks do not keep two writers off a
raw file). Files that name a pid are hints; a process is our daemon when it is the storage daemon
and holds this lock's file open.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from breezeblock import errors
from breezeblock.drivers.interface import Image
from breezeblock.exports import graph, record
from breezeblock.exports.home import QMP_SOCKET, Home
from breezeblock.exports.qmp import Qmp, listen

PROGRAM = "qemu-storage-daemon"
STOP_SECONDS = 15.0
_LONGEST_LOG = 1 << 20


def start(home: Home, image: Image, lock: int, nbd: socket.socket) -> Qmp:
    """Start the daemon of ``image`` with the held ``lock`` and the listening socket ``nbd``; a connection to it, when it answers.

    The caller closes its own copies of both. Raises ObjectMissing, ObjectBusy or DriverError with the daemon's words.
    """
    if not Path(image.path).is_file():
        raise errors.ObjectMissing(what=f"image {image.path} of volume {home.volume_id}")
    control = listen(home.directory, QMP_SOCKET)
    try:
        said = _spawn(home, image, lock, control, nbd)
    finally:
        control.close()
    try:
        return Qmp(home.directory, QMP_SOCKET)
    except errors.DaemonSilent as problem:
        words = _last_words(home, said) or str(problem)
        for pid in holders(home):
            _end(home, pid, signal.SIGKILL)
        if "Failed to get" in words and "lock" in words:
            raise errors.ObjectBusy(what=f"image {image.path}", reason=words) from problem
        raise errors.DriverError(reason=f"the storage daemon of volume {home.volume_id} did not start: {words}") from problem


def connect(home: Home) -> Qmp:
    """A connection to the running daemon; DaemonSilent when there is none that answers."""
    return Qmp(home.directory, QMP_SOCKET)


def stop(home: Home) -> None:
    """End the daemon: in order by its own protocol, by signals when it does not answer. Returns when its lock is free."""
    running = [_Process(pid) for pid in holders(home)]
    try:
        asked = _ask_to_quit(home)
        for process in running:
            if not (asked and process.wait(STOP_SECONDS)) and not _end(home, process.pid, signal.SIGKILL):
                raise errors.DriverError(reason=f"the storage daemon of volume {home.volume_id} (pid {process.pid}) cannot be killed")
    finally:
        for process in running:
            process.close()
    lock = record.take(home.lock)
    if lock is None:
        raise errors.ObjectBusy(what=f"the export of volume {home.volume_id}", reason="an unknown process holds its lock")
    os.close(lock)
    (home.directory / QMP_SOCKET).unlink(missing_ok=True)


def _ask_to_quit(home: Home) -> bool:
    try:
        with connect(home) as qmp:
            qmp.execute("quit")
    except errors.DaemonSilent:
        return False
    return True


def holders(home: Home) -> list[int]:
    """The pids of the storage daemons that hold this volume's lock file open; at most one, unless somebody else started more."""
    try:
        wanted = home.lock.stat()
    except FileNotFoundError:
        return []
    hint = _hint(home)
    if hint is not None and _holds(hint, wanted):
        return [hint]
    return [pid for pid in _all_processes() if _holds(pid, wanted)]


def running(home: Home) -> bool:
    """Whether a daemon has the volume open. Takes no lock, so it disturbs nobody.

    The record says so before a daemon starts, and no longer only after its end; so most answers need no search.
    """
    known = record.load(home)
    return (known is None or known.present) and bool(holders(home))


def _spawn(home: Home, image: Image, lock: int, control: socket.socket, nbd: socket.socket) -> int:
    """Run the daemon in a session of its own, without waiting for it; where in its log its words will start."""
    home.pid.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    if home.log.exists() and home.log.stat().st_size > _LONGEST_LOG:
        flags |= os.O_TRUNC
    log = os.open(home.log, flags, 0o600)
    try:
        said = os.fstat(log).st_size
        # setsid --fork ends at once, so the daemon becomes init's and never our zombie.
        subprocess.run(
            ["setsid", "--fork", *graph.command_line(image, qmp=control.fileno(), nbd=nbd.fileno(), pid=home.pid.name)],
            cwd=home.directory,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock, control.fileno(), nbd.fileno()),
            check=True,
            timeout=STOP_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise errors.DriverError(reason=f"the storage daemon could not be run: {problem}") from problem
    finally:
        os.close(log)
    return said


def _last_words(home: Home, start: int) -> str:
    with home.log.open("rb") as log:
        log.seek(start)
        lines = log.read(65536).decode(errors="replace").strip().splitlines()
    return lines[0].removeprefix(f"{PROGRAM}: ") if lines else ""


def _hint(home: Home) -> int | None:
    try:
        return int(home.pid.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _all_processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _holds(pid: int, wanted: os.stat_result) -> bool:
    """Whether ``pid`` is a storage daemon that has the file ``wanted`` open."""
    process = Path(f"/proc/{pid}")
    try:
        if not (process / "exe").readlink().name.startswith(PROGRAM):
            return False
        opened = list((process / "fd").iterdir())
    except OSError:
        return False
    for one in opened:
        with contextlib.suppress(OSError):
            found = one.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


class _Process:
    """A process that cannot be mistaken for a later one with the same pid."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    def wait(self, seconds: float) -> bool:
        """Whether it ended within ``seconds``."""
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def _end(home: Home, pid: int, number: int) -> bool:
    """Signal ``pid`` if it is (still) this volume's daemon; whether it is gone within the bound."""
    process = _Process(pid)
    try:
        if pid in holders(home):
            process.send(number)
        return process.wait(STOP_SECONDS)
    finally:
        process.close()

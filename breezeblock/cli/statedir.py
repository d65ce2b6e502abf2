"""The state directory: one ``serve`` at a time, known by a lock that the kernel frees with the process."""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from breezeblock.errors import Error

LOCK: Final = "serve.lock"
_SETTLE_SECONDS: Final = 3.0
"""Children of a killed supervisor end within milliseconds; so long their lock is waited for."""


class AlreadyServed(Error):
    """{state} is served already, by process {pid} at {endpoint}. Stop that one, or give another --state-dir."""

    status, code = 409, "serve.twice"


def claim(state: Path, endpoint: str) -> int:
    """Take the directory for this process, making it if need be; the lock's descriptor, which must stay open.

    Raises AlreadyServed when another process has it.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o750)
    lock = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(lock, 4096, 0).decode(errors="replace").split("\n")
            if _lives(holder[0]) or time.monotonic() > deadline:
                os.close(lock)
                raise AlreadyServed(state=state, pid=holder[0] or "unknown", endpoint=holder[1] if len(holder) > 1 else "unknown") from None
            time.sleep(0.02)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n{endpoint}\n".encode(), 0)
    return lock


def endpoint_of(state: Path) -> str | None:
    """The endpoint of the ``serve`` that was last started on this directory, whether it runs or not; None when there was none."""
    try:
        return (state / LOCK).read_text().split("\n")[1] or None
    except (FileNotFoundError, IndexError):
        return None


def _lives(pid: str) -> bool:
    if pid.isdecimal():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 0)
            return True
    return False

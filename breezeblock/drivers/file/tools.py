"""Runs the external tools of the file driver, so that none of them outlives its caller.

A tool is spawned by one long-lived thread, because the kernel's parent-death signal fires when the
*thread* that spawned ends (protocol rule R4). It is started through ``setpriv``, which sets the
signal, and a line of shell, which then makes sure that the parent did not die before that. Together
they cost about 2 ms. No tool ever sees a terminal's interrupt: a restart of the service must not
look like a failure of the storage.
"""

import concurrent.futures
import os
import subprocess
import threading
from collections.abc import Sequence

from breezeblock import errors

_CHECK_PARENT = '[ "$PPID" = "$0" ] || exit 125; exec "$@"'
_REAP_SECONDS = 30
_MEANINGS: Sequence[tuple[str, type[errors.DriverError]]] = (
    ("No space left on device", errors.NoSpace),
    ("Disk quota exceeded", errors.NoSpace),
    ("No such file or directory", errors.ObjectMissing),
    ("Is another process using the image", errors.ObjectBusy),
)


class Tools:
    """One spawning thread, made when the first tool is needed (a process that only forks has none)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spawner: concurrent.futures.ThreadPoolExecutor | None = None

    def run(self, argv: Sequence[str], *, timeout: float, what: str, keep_open: Sequence[int] = ()) -> str:
        """Run a tool to its end and give its standard output.

        ``timeout`` in seconds, after which the tool is killed. ``keep_open`` are descriptors that it
        inherits: a lock among them is held until the tool has ended too. ``what`` names the object in
        errors: NoSpace, ObjectMissing, ObjectBusy, or DriverError with the tool's last line.
        """
        started = self._spawning_thread().submit(_spawn, argv, tuple(keep_open)).result()
        try:
            output, complaint = started.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise errors.DriverError(reason=f"{argv[0]} was stopped after {timeout:g} seconds on {what}") from None
        finally:
            if started.poll() is None:
                started.kill()
                started.communicate(timeout=_REAP_SECONDS)
        if started.returncode:
            raise _meaning(argv, what, started.returncode, complaint)
        return output

    def _spawning_thread(self) -> concurrent.futures.ThreadPoolExecutor:
        with self._lock:
            if self._spawner is None:
                self._spawner = concurrent.futures.ThreadPoolExecutor(1, "spawner")
            return self._spawner


def _spawn(argv: Sequence[str], keep_open: Sequence[int]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _CHECK_PARENT, str(os.getpid()), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        pass_fds=keep_open,
        start_new_session=True,
    )


def _meaning(argv: Sequence[str], what: str, status: int, complaint: str) -> errors.DriverError:
    """The error that a tool's complaint stands for. The tools run in the C locale, so their words are fixed."""
    for words, kind in _MEANINGS:
        if words in complaint:
            return kind(what=what, where="the file backend", reason=words)
    last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
    return errors.DriverError(reason=f"{' '.join(argv[:2])} on {what} ended with {status}: {last[0]}")

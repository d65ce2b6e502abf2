"""What a forked process owes its parent: to end with it. And why no worker is the first process of a PID namespace."""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` ends, and end it now if that has happened already.

    Call it first thing in a forked child. The signal follows the *thread* that forked: it must live as
    long as its process. It is not inherited by children of this process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_PDEATHSIG): {os.strerror(code)}")
    if os.getppid() != parent:
        _end()


def not_first(run: Callable[[], int]) -> int:
    """Give the exit code of ``run``, which is made in a child if this is the first process of a PID namespace, as in a container.

    The kernel protects that process from signals of its own namespace, its own timer's SIGKILL included: the timer
    of protocol rule R4 would not end it. So it only waits: it passes on SIGTERM and SIGINT, and reaps orphans.
    Must be called while there is one thread.
    """
    if os.getpid() != 1:
        return run()
    stops = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops | {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_with(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            code = run()
        finally:
            os._exit(code)
    while True:
        number = signal.sigwait(stops | {signal.SIGCHLD})
        if number in stops:
            os.kill(child, number)
        elif (status := _reaped(child)) is not None:
            return status


def _reaped(child: int) -> int | None:
    """Take in whatever has ended; the exit code of ``child`` when it is among them, 128 + the signal that ended it."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return None
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _end() -> NoReturn:
    os._exit(128 + signal.SIGKILL)

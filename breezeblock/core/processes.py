"""What a forked process owes its parent: to end with it."""

import ctypes
import os
import signal
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


def _end() -> NoReturn:
    os._exit(128 + signal.SIGKILL)

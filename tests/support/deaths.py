"""Kills a call at each of its system calls that matter, one after another, as a power cut or an expired lease does."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

_AUDITED = frozenset(["open", "os.remove", "os.truncate", "fcntl.ioctl", "fcntl.flock", "subprocess.Popen"])
_PATCHED = ("fsync", "fdatasync", "pwrite", "posix_fallocate")
_LIMIT = 200


def at_each_step(prepare: Callable[[], Callable[[], object]]) -> Iterator[int]:
    """For n = 1, 2, ...: prepare, run the call in a child that is killed before its n-th step, and yield n.

    Ends after the run that came to its end. The steps are found as they are taken, so none is forgotten.
    """
    for step in range(1, _LIMIT):
        call = prepare()
        child = os.fork()
        if child == 0:
            _run_and_exit(call, step)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), f"the call failed by itself with {status}"
        yield step
        if status == 0:
            return
    raise AssertionError(f"more than {_LIMIT} steps")


def _run_and_exit(call: Callable[[], object], deadly: int) -> None:
    """In the child; never returns."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, _arguments: object) -> None:
        if event in _AUDITED:
            step()

    for name in _PATCHED:
        setattr(os, name, _stepping(getattr(os, name), step))
    sys.addaudithook(audit)
    try:
        call()
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


def _stepping(function: Callable[..., object], step: Callable[[], None]) -> Callable[..., object]:
    def stepping(*arguments: object) -> object:
        step()
        return function(*arguments)

    return stepping

"""Keeps a set of child processes running, and ends them in order. It knows nothing of what they do.

The supervisor imports the code once and forks: a child starts in milliseconds and shares the code's
memory. For that it must stay what it was when it began: one thread, no connection. It waits for
signals and does nothing between them. Children end with it, however it ends; what they have started
in sessions of their own and given away (export daemons) does not.
"""

import dataclasses
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn

from breezeblock.core.processes import die_with
from breezeblock.errors import Error

_READY: Final = signal.SIGRTMIN
"""A real-time signal: two of them are never merged into one."""
_STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_SIGNALS: Final = _STOPS | {signal.SIGCHLD, _READY}
_log = logging.getLogger(__name__)

Announce = Callable[[], None]
"""Called in a child, or in a process that it forked, when it is ready to work."""


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running."""

    name: str
    run: Callable[[Announce], int]
    """What it does, in a process and a session of its own, until SIGTERM; gives the exit code."""
    stage: int = 0
    """Children of a lower stage have ended before those of a higher one are asked to."""
    grace: float = 5.0
    """Seconds from SIGTERM to SIGKILL."""


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How soon a child that died is started again. Seconds."""

    first: float = 0.05
    longest: float = 30.0
    healthy: float = 20.0
    """After a life as long as this a child's earlier deaths are forgotten."""
    loop: int = 4
    """Deaths in a row from which on it is called a crash loop."""

    def wait(self, deaths: int) -> float:
        """How long to wait after so many deaths in a row."""
        return min(self.longest, self.first * 2.0 ** (deaths - 1))


@dataclasses.dataclass(slots=True)
class _Slot:
    """A child and what has become of it."""

    child: Child
    pid: int | None = None
    started: float = 0.0
    deaths: int = 0
    due: float | None = 0.0
    """When to start it, in seconds of the monotonic clock; None: it runs, or shall not."""

    def kill(self, number: signal.Signals) -> None:
        # Its pid cannot be anybody else's: it is not reaped but by us.
        if self.pid is not None:
            os.kill(self.pid, number)


class Supervisor:
    """The parent."""

    def __init__(self, children: Sequence[Child], patience: Patience | None = None, ready: Callable[[str], None] | None = None) -> None:
        """``ready`` is called with a child's name whenever that child announces itself."""
        self._slots = [_Slot(child) for child in children]
        self._patience = patience or Patience()
        self._ready = ready
        self._stopping = False

    def run(self) -> int:
        """Start all and keep them running until SIGTERM, SIGINT or SIGHUP; then end them, stage by stage.

        Gives 0 when all ended by themselves, 1 when one had to be killed. A second signal kills at once.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            while True:
                self._start_due(before)
                if self._next(min((slot.due for slot in self._slots if slot.due is not None), default=None)) in _STOPS:
                    return self._stop()
        finally:
            self._kill(self._slots)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start_due(self, mask: Iterable[int]) -> None:
        for slot in self._slots:
            if slot.due is not None and slot.due <= time.monotonic():
                slot.due, slot.started = None, time.monotonic()
                slot.pid = _fork(slot.child, mask)
                _log.info("%s runs as process %d", slot.child.name, slot.pid)

    def _next(self, until: float | None) -> int | None:
        """Wait for a signal and see to it, at most until then; the signal, or None when it was time."""
        if until is None:
            info: signal.struct_siginfo | None = signal.sigwaitinfo(_SIGNALS)
        else:
            info = signal.sigtimedwait(_SIGNALS, max(0.0, until - time.monotonic()))
        if info is None:
            return None
        if info.si_signo == signal.SIGCHLD:
            self._reap()
        elif info.si_signo == _READY:
            self._greet(info.si_pid)
        return info.si_signo

    def _greet(self, pid: int) -> None:
        """Every child leads a session, in which the processes that it forks stay."""
        try:
            session = os.getsid(pid)
        except ProcessLookupError:
            return
        for slot in self._slots:
            if slot.pid == session and self._ready is not None:
                self._ready(slot.child.name)

    def _reap(self) -> None:
        """Take in whatever has ended: children, and where we are a container's first process anybody's."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for slot in self._slots:
                if slot.pid == pid:
                    slot.pid = None
                    self._bury(slot, os.waitstatus_to_exitcode(status))

    def _bury(self, slot: _Slot, code: int) -> None:
        name, lived = slot.child.name, time.monotonic() - slot.started
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        if self._stopping:
            _log.info("%s ended with %s", name, how)
            return
        slot.deaths = 1 if lived >= self._patience.healthy else slot.deaths + 1
        wait = self._patience.wait(slot.deaths)
        slot.due = time.monotonic() + wait
        if slot.deaths < self._patience.loop:
            _log.warning("%s ended with %s after %.1f s; it starts again in %.2f s", name, how, lived, wait)
        else:
            _log.error(
                "CRASH LOOP: %s has ended %d times in a row, now with %s after %.1f s; next start in %.1f s. Its last words stand above.",
                *(name, slot.deaths, how, lived, wait),
            )

    def _stop(self) -> int:
        self._stopping = True
        killed = False
        for stage in sorted({slot.child.stage for slot in self._slots}):
            members = [slot for slot in self._slots if slot.child.stage == stage]
            for slot in members:
                slot.kill(signal.SIGTERM)
            deadline = time.monotonic() + max(slot.child.grace for slot in members)
            while late := [slot for slot in members if slot.pid is not None]:
                if self._next(deadline) in _STOPS:
                    _log.warning("stopping at once")
                    return 1
                if time.monotonic() >= deadline:
                    _log.warning("killed, because it did not end in time: %s", ", ".join(slot.child.name for slot in late))
                    killed = True
                    self._kill(late)
        return int(killed)

    def _kill(self, slots: Iterable[_Slot]) -> None:
        self._stopping = True
        for slot in slots:
            slot.kill(signal.SIGKILL)
        for slot in slots:
            if slot.pid is not None:
                os.waitpid(slot.pid, 0)
                slot.pid = None


def _fork(child: Child, mask: Iterable[int]) -> int:
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be(child, parent, mask)
    return pid


def _be(child: Child, parent: int, mask: Iterable[int]) -> NoReturn:
    """The child's whole life. A session of its own keeps a terminal's Ctrl-C from it: its parent decides about its end."""
    code = 1
    try:
        die_with(parent)
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        code = child.run(lambda: os.kill(parent, _READY))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Error as error:
        _log.error("%s cannot run: %s", child.name, error)
    except BaseException:  # noqa: BLE001 -- the process ends here, and says why
        _log.exception("%s failed", child.name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

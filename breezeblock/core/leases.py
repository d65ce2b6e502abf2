"""Leases: how a worker proves that it is alive, and why it cannot outlive its proof.

The theory (protocol rules R4 and R5). *Authority*: a worker process holds one lease for all of its
jobs. *Term*: before it sends a renewal it reads its own CLOCK_BOOTTIME and computes the deadline
``sent + lease``; when the renewal is acknowledged it arms a kernel timer for that deadline, which
kills the process with SIGKILL even while it is stopped. A renewal whose outcome is unknown extends
nothing. *Trust window*: a rescuer fences a worker only after it has itself watched one and the same
beat stand still for ``lease + margin`` on its own clock. The last acknowledged renewal was sent
before the rescuer could first see its beat, so the holder's deadline always lies before the end of
the rescuer's watch, whatever the clocks say, so long as they run at about the same rate: the
margin pays for that. No timestamp is ever compared between hosts.

On its own host a rescuer may know more than the beat tells: a process that is gone, by boot id,
pid namespace, pid and start time, is dead now (docs/decisions/proof-of-death.md).
"""

import ctypes
import dataclasses
import datetime
import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import LeaseSettings
from breezeblock.store.engine import Tx
from breezeblock.store.sql import database_node, for_update
from breezeblock.store.tables.protocol import workers

LIVE, FENCING, FENCED, GONE = "live", "fencing", "fenced", "gone"
CLOCK_BOOTTIME: Final = 7
_TIMER_ABSTIME: Final = 1
_SIGEV_SIGNAL: Final = 0


class DeathTimer(Protocol):
    """Ends the process at a deadline."""

    def arm(self, deadline: float) -> None:
        """Die at ``deadline``, in seconds of CLOCK_BOOTTIME; replaces the former deadline."""

    def disarm(self) -> None:
        """Do not die; for a process that has given its lease back."""


class _SigEvent(ctypes.Structure):
    _fields_ = (("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int), ("pad", ctypes.c_char * 48))


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _ITimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class KernelTimer:
    """A POSIX timer on CLOCK_BOOTTIME whose signal is SIGKILL: no thread, no pause and no SIGSTOP can outlast it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()
        event = _SigEvent(0, signal.SIGKILL, _SIGEV_SIGNAL)
        if self._libc.timer_create(CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"timer_create(CLOCK_BOOTTIME): {os.strerror(code)}")

    def arm(self, deadline: float) -> None:
        """Die at ``deadline``, in seconds of CLOCK_BOOTTIME."""
        seconds = int(deadline)
        self._set(_TimeSpec(seconds, max(1, int((deadline - seconds) * 1e9))))

    def disarm(self) -> None:
        """Do not die."""
        self._set(_TimeSpec(0, 0))

    def _set(self, value: _TimeSpec) -> None:
        spec = _ITimerSpec(_TimeSpec(0, 0), value)
        if self._libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"timer_settime: {os.strerror(code)}")


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessName:
    """One process of one boot of one host, which no other process is ever called."""

    boot_id: str
    pid_namespace: int
    pid: int
    start_time: int

    def __str__(self) -> str:
        return f"{self.boot_id}:{self.pid_namespace}:{self.pid}:{self.start_time}"

    @classmethod
    def parse(cls, text: str) -> "ProcessName":
        """The reverse of ``str``."""
        boot_id, namespace, pid, start = text.split(":")
        return cls(boot_id, int(namespace), int(pid), int(start))


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_time(pid: int) -> int:
    """Clock ticks after boot at which ``pid`` started; ProcessLookupError when there is none, or only its zombie, without threads."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError) as gone:
        raise ProcessLookupError(errno.ESRCH, f"no process {pid}") from gone
    fields = stat.rsplit(")", 1)[1].split()
    if fields[0] in {"Z", "X"} and _threads(pid) <= 1:
        raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended")
    return int(fields[19])


def _threads(pid: int) -> int:
    """How many threads ``pid`` has: its first may be a zombie while others are still inside a system call, and write."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except FileNotFoundError:
        return 0


def this_process() -> ProcessName:
    """The name of the calling process."""
    return ProcessName(boot_id(), _namespace(), os.getpid(), _start_time(os.getpid()))


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def proven_dead(process: ProcessName) -> bool:
    """Whether ``process`` has certainly ended, as far as this host can know: same boot, same pid namespace, and no such process."""
    if process.boot_id != boot_id() or process.pid_namespace != _namespace():
        return False
    try:
        return _start_time(process.pid) != process.start_time
    except ProcessLookupError:
        return True


def kill(process: ProcessName) -> None:
    """Kill ``process`` if it is on this host, through a pidfd, so that no other process of the same pid is ever hit."""
    if process.boot_id != boot_id() or process.pid_namespace != _namespace() or process.pid == os.getpid():
        return
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _start_time(process.pid) == process.start_time:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


@dataclasses.dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a worker process."""

    id: str
    host: str
    process: str
    queues: tuple[str, ...]
    kinds: Mapping[str, int]
    solo: bool = False


def register(tx: Tx, incarnation: Incarnation, now: datetime.datetime) -> None:
    """Write the worker's row, live, at beat 0."""
    tx.execute(
        sa.insert(workers).values(
            id=incarnation.id,
            host=incarnation.host,
            process=incarnation.process,
            state=LIVE,
            beat=0,
            solo=incarnation.solo,
            queues=list(incarnation.queues),
            kinds=dict(incarnation.kinds),
            started_at=now,
        )
    )


def renew(tx: Tx, worker_id: str, beat: int) -> int:
    """Raise the beat from ``beat`` by one, and return the new one.

    Only this worker raises it, so a row that holds the next beat already has had the renewal before, by a commit whose
    outcome was unknown. That one counts for nothing, because a rescuer may have watched its beat since then: the beat is
    raised once more. Raises LostLease when the row is not live or holds any other beat: a beat of mine that is missing
    means lost commits.
    """
    for seen in (beat, beat + 1):
        mine = (workers.c.id == worker_id, workers.c.state == LIVE, workers.c.beat == seen)
        if tx.execute(sa.update(workers).where(*mine).values(beat=seen + 1, database_node=database_node())).rowcount == 1:
            return seen + 1
    raise errors.LostLease(worker=worker_id, reason=f"beat {beat} is not the one in the database, or the worker was fenced")


def mark_fencing(tx: Tx, row: Any) -> bool:
    """Begin to fence the worker whose row was seen as ``row``; False when its beat has risen since, or another was quicker.

    Waits for the claims and finishes of that worker which are under way: the ones after them are refused.
    """
    seen = (workers.c.id == row.id, workers.c.state == LIVE, workers.c.beat == row.beat)
    if tx.execute(for_update(sa.select(workers.c.id).where(*seen))).one_or_none() is None:
        return False
    return tx.execute(sa.update(workers).where(*seen).values(state=FENCING)).rowcount == 1


def mark_fenced(tx: Tx, worker_id: str, now: datetime.datetime, *, blamed: bool) -> bool:
    """The worker can do no more harm; ``blamed``: its one job killed it. False when another rescuer said so before."""
    mine = (workers.c.id == worker_id, workers.c.state == FENCING)
    return tx.execute(sa.update(workers).where(*mine).values(state=FENCED, ended_at=now, blamed=blamed)).rowcount == 1


def leave(tx: Tx, worker_id: str, now: datetime.datetime) -> None:
    """Give the lease back: a clean end, after the last job."""
    tx.execute(sa.update(workers).where(workers.c.id == worker_id, workers.c.state == LIVE).values(state=GONE, ended_at=now))


def serving(tx: Tx, queue: str, kind: str | None = None) -> bool:
    """Whether a live worker serves ``queue`` and, if given, runs ``kind``. Lone processes serve only the job they were made for."""
    many = (workers.c.state == LIVE, workers.c.solo.is_(sa.false()))
    return any(
        queue in row.queues and (kind is None or kind in row.kinds)
        for row in tx.execute(sa.select(workers.c.queues, workers.c.kinds).where(*many))
    )


class Lease:
    """The life of one incarnation's lease: renew at each heartbeat, re-arm the timer, or die."""

    def __init__(
        self,
        run: Callable[[Callable[[Tx], int]], int],
        worker_id: str,
        times: LeaseSettings,
        boottime: Callable[[], float],
        timer: DeathTimer,
    ) -> None:
        """``run`` opens a write transaction on a connection that nothing else uses."""
        self._run = run
        self._times = times
        self._boottime = boottime
        self._timer = timer
        self.worker_id = worker_id
        self.beat = 0
        self.deadline = 0.0

    def start(self, sent: float) -> None:
        """The registration, sent at ``sent``, counts as the first renewal."""
        self._extend(sent)

    def renew(self) -> None:
        """One renewal. Raises LostLease when the lease is lost, DatabaseAway when its outcome is unknown."""
        sent = self._boottime()
        self.beat = self._run(lambda tx: renew(tx, self.worker_id, self.beat))
        self._extend(sent)

    def _extend(self, sent: float) -> None:
        self.deadline = sent + self._times.lease_seconds
        self._timer.arm(self.deadline)

    def remaining(self) -> float:
        """Seconds until the timer ends this process."""
        return self.deadline - self._boottime()

    def release(self) -> None:
        """Disarm the timer, after :func:`leave` was committed."""
        self._timer.disarm()


def live_rows(tx: Tx, states: Sequence[str] = (LIVE, FENCING)) -> Sequence[Any]:
    """The rows of workers in these states, each with the database server that told (``seen_on``)."""
    statement = sa.select(workers, database_node().label("seen_on")).where(workers.c.state.in_(states))
    return tx.execute(statement.order_by(workers.c.id)).all()

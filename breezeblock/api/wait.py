"""Synchronous answers (protocol rule R11): wait for a job after its commit, bounded, holding no transaction.

The jobs row is the truth; a hint can only make the next look come sooner. Waiting requests are
capped, a job that nobody can run fails at once, and one that is still queued when time is up is
withdrawn, so that nobody works for a client that was told to come again. A client that goes away changes nothing.
"""

import threading
from functools import partial
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.api.services import ApiServices, Hints
from breezeblock.core import endings
from breezeblock.core import jobs as job_rules
from breezeblock.core.leases import serving
from breezeblock.core.requests import NOTHING, Answer, JobResult, Request, Wait
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import jobs

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.002, 0.1, 1.4
CAPABLE_EVERY = 1.0
"""Seconds between two looks for a worker that could run the job."""
_LOOK = sa.select(jobs.c.state, jobs.c.queue, jobs.c.kind, jobs.c.result, jobs.c.error)


class Waiting:
    """The requests of this process that wait for a worker's answer."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        api = services.settings.api
        self._slots = threading.BoundedSemaphore(max(1, min(api.max_waiting, api.threads - api.threads // 4)))

    def answer(self, name: str, wait: Wait, request: Request) -> Answer:
        """The verb's reply to its job's result, read in a new transaction.

        Raises errors.Unavailable: NoCapableWorker, AnswerTimedOut, or too many requests wait already.
        """
        if not self._slots.acquire(blocking=False):
            busy = errors.Unavailable(reason="too many requests wait for workers in this process")
            self._withdraw(name, wait.job_id, busy)
            raise busy
        try:
            result = self._await(name, wait)
        finally:
            self._slots.release()

        def work(tx: Tx) -> Answer:
            request.tx = tx
            return wait.reply(request, result)

        return self._services.store.read(f"{name}.reply", work)

    def _await(self, name: str, wait: Wait) -> JobResult:
        """Look again and again: at once, then after growing pauses, which a hint of the job's queue cuts to a quarter."""
        clock = self._services.clock
        end = clock.boottime() + wait.seconds
        found = self._look(name, wait, ask_for_worker=True)
        if found.state in job_rules.UNFINISHED:
            with self._services.listen(found.queue) as hints:
                found = self._look_until(name, wait, end, hints)
        return JobResult(found.state, found.result or NOTHING, found.error or NOTHING)

    def _look_until(self, name: str, wait: Wait, end: float, hints: Hints) -> Any:
        """The row of the ended job. Raises NoCapableWorker or AnswerTimedOut, with the job withdrawn if it was still queued."""
        clock, pause = self._services.clock, FIRST_PAUSE
        ask_next = clock.boottime() + CAPABLE_EVERY
        while True:
            slept = clock.boottime()
            hints.wait(max(0.0, min(pause, end - slept)))
            now = clock.boottime()
            if now < min(slept + pause / 4, end):
                clock.sleep(slept + pause / 4 - now)
            found = self._look(name, wait, ask_for_worker=now >= ask_next)
            if found.state not in job_rules.UNFINISHED:
                return found
            if now >= end:
                late = errors.AnswerTimedOut(verb=_spoken(found), seconds=f"{wait.seconds:g}")
                self._withdraw(name, wait.job_id, late)
                raise late
            ask_next = now + CAPABLE_EVERY if now >= ask_next else ask_next
            pause = min(pause * GROWTH, LONGEST_PAUSE)

    def _look(self, name: str, wait: Wait, *, ask_for_worker: bool) -> Any:
        """The job's row. Raises NoCapableWorker when it is queued and no live worker could take it; it is withdrawn then."""
        look = partial(_read, wait.job_id, ask_for_worker=ask_for_worker)
        found, capable = self._services.store.read(f"{name}.wait", look)
        if not capable:
            none = errors.NoCapableWorker(queue=found.queue, verb=_spoken(found))
            if self._withdraw(name, wait.job_id, none):
                raise none
        return found

    def _withdraw(self, name: str, job_id: str, why: errors.Error) -> bool:
        """End the job if it is still queued, by compare-and-swap; False when a worker has it, or had it."""
        services = self._services

        def work(tx: Tx) -> bool:
            return any(
                endings.abandon(tx, job, services.registry, why, services.clock.utcnow())
                for job in job_rules.rows(tx, jobs.c.id == job_id, jobs.c.state == "queued")
            )

        return services.store.run(f"{name}.withdraw", work)


def _read(job_id: str, tx: Tx, *, ask_for_worker: bool) -> tuple[Any, bool]:
    """The job's row, and whether it is claimed or some live worker could claim it."""
    found = tx.execute(_LOOK.where(jobs.c.id == job_id)).one_or_none()
    if found is None:
        raise errors.Unavailable(reason="the job of this request is gone")
    return found, found.state != "queued" or not ask_for_worker or serving(tx, found.queue, found.kind)


def _spoken(found: Any) -> str:
    """The verb of a jobs row, for people."""
    return str(found.kind).replace(".", " ")

"""What a verb's ``run`` is given: its job, its backend, and the only ways in which a job may end.

Everything here is fenced: driver calls carry the job's tokens, and each write goes through
:mod:`breezeblock.core.jobs`, which refuses a worker that lost its lease or its claim.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import Settings
from breezeblock.core import endings, faults, jobs
from breezeblock.core.clock import Clock
from breezeblock.core.endings import Ending
from breezeblock.core.jobs import JobRow
from breezeblock.core.resource import Registry, Takeover, Verb
from breezeblock.core.transitions import Change
from breezeblock.drivers.interface import Call, Effect, VolumeDriver, effect_of
from breezeblock.store.engine import Store, Tx

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Backend:
    """One backend as its worker has it open."""

    name: str
    queue: str
    driver: VolumeDriver
    exports: Any
    """A :class:`breezeblock.exports.manager.Exports`; typed there, because that layer stands above this one."""


class Reached:
    """A driver or exports object whose effects are fault points: ``<verb>.<method>.before`` and ``.after``."""

    def __init__(self, target: object, verb: str) -> None:
        self._target = target
        self._verb = verb

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found) or effect_of(self._target, name) is Effect.READS:
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            faults.reach(f"{self._verb}.{name}.before")
            result = found(*args, **kwargs)
            faults.reach(f"{self._verb}.{name}.after")
            return result

        return call


class Work:
    """One claimed job in the hands of one thread."""

    def __init__(
        self, job: JobRow, verb: Verb, store: Store, registry: Registry, clock: Clock, settings: Settings, backend: Backend | None
    ) -> None:
        self.job = job
        self.verb = verb
        self.store = store
        self.registry = registry
        self.clock = clock
        self.settings = settings
        self._backend = backend
        self.ended = False

    @property
    def backend(self) -> Backend:
        """The backend of the job's queue."""
        if self._backend is None:
            raise errors.BadConfiguration(reason=f"queue {self.job.queue} has no backend in this worker")
        return self._backend

    @property
    def driver(self) -> VolumeDriver:
        """The backend's driver; every changing call is a fault point."""
        return cast(VolumeDriver, Reached(self.backend.driver, self.verb.name))

    @property
    def exports(self) -> Any:
        """The backend's exports; every changing call is a fault point."""
        return Reached(self.backend.exports, self.verb.name)

    @property
    def call(self) -> Call:
        """What the driver must be told of this job."""
        return Call(self.job.id, self.job.tokens())

    def row(self, table: sa.Table, row_id: str) -> Mapping[str, Any] | None:
        """A row as it is now; the job's lanes keep the columns of its own resources still."""
        statement = sa.select(table).where(table.c.id == row_id)
        return self.store.read(f"{self.verb.name}.row", lambda tx: tx.row(statement))

    def own(self) -> Mapping[str, Any]:
        """The job's own resource. Raises LostClaim when it is gone."""
        found = self.row(self.verb.transition.table, self.job.resource_id)
        if found is None:
            raise errors.LostClaim(job=self.job.id, epoch=self.job.epoch)
        return found

    def checkpoint(self, state: Any) -> None:
        """Record how far a long job is, so that a takeover goes on from there."""
        self.store.run(f"{self.verb.name}.checkpoint", lambda tx: jobs.checkpoint(tx, self.job, state))
        self.job = dataclasses.replace(self.job, checkpoint=state)

    def hand_off(self, queue: str, values: Mapping[str, Any], last: Callable[[Tx], None] | None = None) -> None:
        """Move the job to ``queue``, with ``values`` for its resource's row; ``last`` changes pools and quotas."""
        self.store.run(f"{self.verb.name}.hand_off", lambda tx: jobs.hand_off(tx, self.job, self.registry, queue, values, last))
        self.ended = True

    def finish(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        also: Sequence[Change] = (),
        result: Any = None,
        last: Callable[[Tx], None] | None = None,
    ) -> None:
        """End the job as done: ``values`` go to its resource's row, ``also`` to others, ``last`` to pools and quotas."""
        self._end(Ending(ok=True, values=values or {}, also=also, result=result, last=last))

    def fail(self, error: errors.Error, *, values: Mapping[str, Any] | None = None) -> None:
        """End the job as failed: the verb's error status, its ``undo``, an event, and a message for the owner."""
        self._end(Ending(ok=False, values=values or {}, error=error, last=lambda tx: jobs.undo(tx, self.job, self.registry)))

    def _end(self, ending: Ending) -> None:
        now = self.clock.utcnow()
        self.store.run(
            f"{self.verb.name}.finish",
            lambda tx: endings.finish(tx, self.job, self.verb.transition, self.registry, ending, now),
        )
        self.ended = True


def perform(work: Work) -> None:
    """Run a claimed job to its end. Raises only DatabaseAway, DatabaseBusy and LostLease, unless the database refuses even its end.

    What a driver raises ends the job as failed. A lost claim drops the result; if the job was cancelled, this is where
    its holder acknowledges it; if it is still ours, nobody else will ever end it, so it fails. Any other exception is a
    defect of ours: it is logged whole and fails the job.
    """
    try:
        _run(work)
    except (errors.LostClaim, errors.Fenced) as lost:
        log.warning("job %s %s: %s", work.job.id, work.verb.name, lost)
        if not _acknowledge(work):
            _fail(work, lost)
    except (errors.DatabaseAway, errors.DatabaseBusy, errors.LostLease):
        raise
    except errors.Error as error:
        _fail(work, error)
    except Exception:
        log.exception("job %s %s met a defect", work.job.id, work.verb.name)
        _fail(work, errors.Error())


def _run(work: Work) -> None:
    payload = work.verb.payload.of(work.job.payload)
    if work.job.claimed_at is not None and work.verb.takeover is Takeover.ROLL_BACK:
        work.fail(errors.DriverError(reason="the worker that ran it died, and this operation is not repeated"))
    elif work.job.queue == "scheduler" and work.verb.schedule is not None:
        work.verb.schedule(work, payload)
    else:
        work.verb.run(work, payload)
    assert work.ended, f"{work.verb.name} returned without ending its job"


def _acknowledge(work: Work) -> bool:
    return work.store.run("jobs.acknowledge", lambda tx: jobs.acknowledge(tx, work.job, work.registry))


def _fail(work: Work, error: errors.Error) -> None:
    try:
        work.fail(error)
    except (errors.DatabaseAway, errors.DatabaseBusy, errors.LostLease):
        raise
    except Exception as trouble:
        if isinstance(trouble, errors.LostClaim) and _acknowledge(work):
            return
        if _drop(work, error):
            log.critical("job %s %s could not end as it should, and was dropped", work.job.id, work.verb.name, exc_info=trouble)


def _drop(work: Work, error: errors.Error) -> bool:
    now, verb = work.clock.utcnow(), work.verb
    return work.store.run("jobs.drop", lambda tx: endings.drop(tx, work.job, verb.transition, work.registry, error, now))

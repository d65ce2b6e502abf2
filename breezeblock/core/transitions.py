"""Moving a resource between statuses: one compare-and-swap, one job, one transaction.

A :class:`Transition` is data. From it come the guarded UPDATE, the explanation of a refusal, the
generated state diagram and the job's end. :func:`begin` and :func:`begin_new` stand in a request's
transaction; :mod:`breezeblock.core.jobs` ends what they began.

Guards stand on the row that they guard (docs/explanation/guards.md). Rows are written in the
lock order of protocol rule R9: the new job, then parents before resources before children, by id
inside each; pools and quotas come after that, by the caller, last before the commit.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import events
from breezeblock.core.versions import RequestVersion, V
from breezeblock.store.conditional import condition, holds
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import job_lanes, jobs

if TYPE_CHECKING:
    from breezeblock.core.requests import Request
    from breezeblock.core.resource import Payload, Verb

T = TypeVar("T")
EXPLAIN_ATTEMPTS: Final = 5


class End(enum.Enum):
    """Where a transition ends, when that is not a plain status."""

    PREVIOUS = "previous"
    """The status before the transition."""
    DELETED = "deleted"
    """The row is gone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """A condition on a column of the guarded row, with the sentence for the one who loses.

    ``expected`` has the semantics of :func:`breezeblock.store.conditional.condition`; ``reason`` may use ``{value}``.
    """

    column: str
    expected: Any
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """How a verb moves its resource.

    ``via`` is the transitional status, or None for a verb that changes no status but still holds the lane.
    ``allowed`` maps each from-status to the microversion since which it is one; it is empty for a verb that creates its row.
    """

    name: str
    table: sa.Table
    via: str | None
    done: str | End | None
    failed: str | End | None
    allowed: Mapping[str, V] = dataclasses.field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    refused: type[errors.Conflict] = errors.ConflictAsInvalid

    def __post_init__(self) -> None:
        """What holds the lane without a status of its own must leave the status alone: it may be another job's."""
        assert self.via is not None or (self.done is None and self.failed is None), f"{self.name} ends in a status without one on the way"

    @property
    def resource(self) -> str:
        """The resource's name, which is its table's."""
        return self.table.name

    def guards_at(self, version: RequestVersion) -> tuple[Guard, ...]:
        """All guards for a request of ``version``, the status first."""
        if not self.allowed:
            return self.guards
        statuses = tuple(status for status, since in self.allowed.items() if version.has(since))
        return (Guard("status", statuses, f"its status is '{{value}}', and must be {_any_of(statuses)}"), *self.guards)


def _any_of(statuses: Sequence[str]) -> str:
    return statuses[0] if len(statuses) == 1 else f"{', '.join(statuses[:-1])} or {statuses[-1]}"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A row that a transaction changes under guards; with a lane, the job reads or holds it until it ends.

    ``lane`` is ``"hold"`` for a lane of its own (rule R3), ``"share"`` for a pin of a reader, None for neither.
    """

    table: sa.Table
    id: str
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    lane: str | None = None
    remove: bool = False
    """At a job's end: the row of a side lane goes away with it."""
    refused: type[errors.Conflict] = errors.ConflictAsInvalid

    @property
    def order(self) -> tuple[int, str]:
        """Its place in the lock order (rule R9)."""
        return rank(self.table), self.id


def rank(table: sa.Table) -> int:
    """A table's place in the lock order: parents first. Every resource's table states it in ``info``."""
    found: int = table.info["rank"]
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be written. Its id was made before the transaction (rule R7)."""

    id: str
    kind: str
    version: int
    payload: Mapping[str, Any]
    queue: str
    job_class: str
    project_id: str
    user_id: str
    request_id: str | None
    expires_at_ms: Any = None
    """By the database's clock, as an SQL expression; for synchronous jobs (rule R11)."""

    @classmethod
    def of(
        cls, req: "Request", verb: "Verb", payload: "Payload", queue: str, *, project_id: str | None = None, expires_at_ms: Any = None
    ) -> "NewJob":
        """The job of ``verb`` for this request; its id is the same when the transaction is run again.

        ``project_id``: whose resource it is, when an administrator may act for others; messages about the job go there.
        """
        caller = req.caller
        return cls(
            id=req.new_id("job"),
            kind=verb.name,
            version=payload.version,
            payload=payload.stored(),
            queue=queue,
            job_class=verb.job_class.value,
            project_id=project_id or caller.project_id,
            user_id=caller.user_id,
            request_id=req.request_id,
            expires_at_ms=expires_at_ms,
        )


class Refused(Exception):
    """A guarded change met no row. :func:`attempt` explains it in a new transaction, or tries again."""

    def __init__(self, verb: str, change: Change) -> None:
        super().__init__(f"{verb}: {change.table.name} {change.id}")
        self.verb = verb
        self.change = change


class Again(Exception):
    """Something else changed the row in the middle of this transaction, and the transaction must see it."""


def begin(
    tx: Tx,
    transition: Transition,
    resource_id: str,
    job: NewJob,
    *,
    version: RequestVersion,
    now: Any,
    values: Mapping[str, Any] | None = None,
    guards: tuple[Guard, ...] = (),
    also: Sequence[Change] = (),
) -> None:
    """Write the job, move the resource and every row of ``also`` under their guards, and record the event.

    Raises :class:`Refused` when a guard does not hold; the whole transaction must then be rolled back.
    """
    table = transition.table
    moved = dict(values or {})
    if transition.via is not None:
        moved |= {"previous_status": table.c.status, "status": transition.via}
    main = Change(
        table,
        resource_id,
        moved | {"updated_at": now},
        (*transition.guards_at(version), *guards),
        lane="hold",
        refused=transition.refused,
    )
    changes = sorted((main, *also), key=lambda each: each.order)
    assert len({change.order for change in changes}) == len(changes), f"{transition.name} changes one row twice"
    _insert_job(tx, job, transition, resource_id, now)
    for change in changes:
        apply(tx, transition.name, change, job.id)
    moved_it = transition.via is not None
    events.record_from_row(tx, table, resource_id, transition.name, moved=moved_it, now=now, job_id=job.id, request_id=job.request_id)
    tx.wake(job.queue)


def begin_new(
    tx: Tx,
    transition: Transition,
    values: Mapping[str, Any],
    job: NewJob,
    *,
    now: Any,
    also: Sequence[Change] = (),
) -> None:
    """Write the job and the resource's new row, in its transitional status, and move every row of ``also``.

    Raises :class:`Refused` as :func:`begin` does.
    """
    table, resource_id = transition.table, values["id"]
    assert transition.via is not None, "a row is created in a transitional status"
    _insert_job(tx, job, transition, resource_id, now)
    changes = sorted(also, key=lambda each: each.order)
    assert len({change.order for change in changes}) == len(changes), f"{transition.name} changes one row twice"
    place = sum(change.order < (rank(table), resource_id) for change in changes)
    for change in changes[:place]:
        apply(tx, transition.name, change, job.id)
    tx.execute(sa.insert(table), {"status": transition.via, "generation": 1, "live_jobs": 1, "pins": 0, "created_at": now, **values})
    lane = {"job_id": job.id, "resource_id": resource_id, "resource_type": table.name, "generation": 1, "shared": False}
    tx.execute(sa.insert(job_lanes), lane)
    for change in changes[place:]:
        apply(tx, transition.name, change, job.id)
    events.record_from_row(tx, table, resource_id, transition.name, now=now, job_id=job.id, request_id=job.request_id)
    tx.wake(job.queue)


def _insert_job(tx: Tx, job: NewJob, transition: Transition, resource_id: str, now: Any) -> None:
    row = {
        "id": job.id,
        "kind": job.kind,
        "version": job.version,
        "payload": job.payload,
        "queue": job.queue,
        "class": job.job_class,
        "state": "queued",
        "epoch": 0,
        "resource_type": transition.resource,
        "resource_id": resource_id,
        "project_id": job.project_id,
        "user_id": job.user_id,
        "request_id": job.request_id,
        "created_at": now,
    }
    expiring = {} if job.expires_at_ms is None else {"expires_at_ms": job.expires_at_ms}
    tx.execute(sa.insert(jobs).values(expiring) if expiring else sa.insert(jobs), row)


def apply(tx: Tx, verb: str, change: Change, job_id: str | None = None) -> None:
    """Perform one guarded change, and enter the job's lane where the change has one. Raises :class:`Refused`."""
    table = change.table
    values = dict(change.values)
    if change.lane is not None:
        assert job_id is not None, "a lane is entered by a job"
        counter = table.c.live_jobs if change.lane == "hold" else table.c.pins
        values |= {"generation": table.c.generation + 1, counter.name: counter + 1}
    where = [table.c.id == change.id, *(condition(table.c[guard.column], guard.expected) for guard in change.guards)]
    if tx.execute(sa.update(table).where(*where).values(values)).rowcount != 1:
        raise Refused(verb, change)
    if change.lane is not None:
        tx.execute(_lane_of(table, shared=change.lane == "share"), {"job": job_id, "entered": change.id})


@functools.cache
def _lane_of(table: sa.Table, *, shared: bool) -> sa.Insert:
    """The lane at the generation that the row has just got."""
    job = sa.bindparam("job", type_=job_lanes.c.job_id.type)
    lane = sa.select(job, table.c.id, sa.literal(table.name), table.c.generation, sa.literal(shared, sa.Boolean()))
    columns = ["job_id", "resource_id", "resource_type", "generation", "shared"]
    return sa.insert(job_lanes).from_select(columns, lane.where(table.c.id == sa.bindparam("entered")))


def explain(tx: Tx, refused: Refused) -> list[str]:
    """Why ``refused`` was refused, by its own guards on the row as it is now; empty when all hold now.

    Raises NotFound when the row is gone.
    """
    change = refused.change
    row = tx.execute(sa.select(change.table).where(change.table.c.id == change.id)).mappings().one_or_none()
    if row is None:
        raise errors.NotFound(kind=change.table.name[:-1].replace("_", " ").capitalize(), id=change.id)
    return [guard.reason.format(value=row[guard.column]) for guard in change.guards if not holds(guard.expected, row[guard.column])]


def attempt(store: Store, name: str, work: Callable[[Tx], T]) -> T:
    """Run ``work`` as a write transaction, and turn a lost compare-and-swap into a :class:`~breezeblock.errors.Conflict` that says why.

    The explanation is read in a new transaction (rule R7). When every guard holds by then, somebody was
    quicker and left again, so the whole transaction is tried once more, a bounded number of times.
    """
    lost: Refused | None = None
    for _ in range(EXPLAIN_ATTEMPTS):
        try:
            return store.run(name, work)
        except Again:
            continue
        except Refused as refused:
            lost = refused
        reasons = store.read(f"{name}.explain", functools.partial(explain, refused=lost))
        if reasons:
            raise _conflict(lost, reasons)
    if lost is None:
        raise errors.Unavailable(reason=f"{name} kept meeting other changes of the same rows; try again")
    raise _conflict(lost, ["it keeps changing; try again"])


def _conflict(lost: Refused, reasons: Sequence[str]) -> errors.Conflict:
    """What was asked, of what: "Extend volume X", or "Create snapshot with volume X" when the row is another resource's."""
    change = lost.change
    resource, _, verb = lost.verb.partition(".")
    said, kind = verb.replace("_", " ").capitalize(), change.table.name[:-1]
    if resource != change.table.name:
        said = f"{said} {resource[:-1]} with"
    return change.refused(verb=said, kind=kind, id=change.id, reasons="; ".join(reasons))

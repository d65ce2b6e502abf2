"""A toy resource, so that the mechanism is tested by itself: gadgets, which can be polished, and their parts, made by one job."""

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NoReturn

import sqlalchemy as sa

from breezeblock.config import LeaseSettings, Settings
from breezeblock.core import claims
from breezeblock.core.claims import Wanted
from breezeblock.core.clock import SystemClock
from breezeblock.core.jobs import JobRow, rows
from breezeblock.core.leases import Incarnation, register
from breezeblock.core.rescue import Rescuer, Rules
from breezeblock.core.resource import Payload, Registry, Resource, Takeover, Verb
from breezeblock.core.transitions import Change, End, Guard, NewJob, Transition, attempt, begin, begin_new
from breezeblock.core.versions import RequestVersion, V
from breezeblock.core.work import Work
from breezeblock.store.engine import Store
from breezeblock.store.tables import resource_columns
from breezeblock.store.tables.protocol import jobs, workers
from breezeblock.worker.loop import Surroundings, Worker

metadata = sa.MetaData()
gadgets = sa.Table(
    "gadgets",
    metadata,
    *resource_columns(),
    sa.Column("shine", sa.Integer(), default=0),
    sa.Column("parts", sa.Integer(), default=0),
    info={"rank": 20},
)
parts = sa.Table("parts", metadata, *resource_columns(), sa.Column("gadget_id", sa.String(36)), info={"rank": 30})

POLISH = Transition(
    "gadgets.polish", gadgets, via="polishing", done=End.PREVIOUS, failed="error", allowed={"idle": V.BASE, "busy": V.EXTEND_IN_USE}
)
SCRAP = Transition(
    "gadgets.scrap",
    gadgets,
    via="scrapping",
    done=End.DELETED,
    failed="error",
    allowed={"idle": V.BASE, "error": V.BASE},
    guards=(
        Guard("parts", 0, "it has {value} parts"),
        Guard("live_jobs", 0, "{value} operations are under way"),
        Guard("pins", 0, "{value} readers"),
    ),
)
MAKE = Transition("parts.make", parts, via="making", done="idle", failed="error")
LOOK = Transition("gadgets.look", gadgets, via=None, done=None, failed=None)


class Shine(Payload, frozen=True):
    """How much."""

    by: int = 1


class Nothing(Payload, frozen=True):
    """Needs to know nothing."""


def polish(work: Work, wanted: Shine) -> None:
    work.finish({"shine": wanted.by})


def scrap(work: Work, wanted: Nothing) -> None:
    work.finish()


def make(work: Work, wanted: Nothing) -> None:
    work.finish()


def look(work: Work, wanted: Nothing) -> None:
    work.finish(result={"seen": True})


VERBS = {
    "polish": Verb(POLISH, Shine, polish),
    "scrap": Verb(SCRAP, Nothing, scrap, takeover=Takeover.ROLL_BACK),
    "make": Verb(MAKE, Nothing, make),
    "look": Verb(LOOK, Nothing, look),
}
REGISTRY = Registry(
    [Resource("gadgets", gadgets, (VERBS["polish"], VERBS["scrap"], VERBS["look"])), Resource("parts", parts, (VERBS["make"],))]
)
QUEUE = "volume:here@toy"
NOW = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 -- naive UTC, as the tables have it
LATEST = RequestVersion.latest()


def prepare(store: Store) -> None:
    """Create the toy's own tables, unless an earlier test has."""
    with store._engine.connect() as connection:
        metadata.create_all(connection)


def new_job(
    verb: str, payload: Payload | None = None, *, project: str = "p", job_id: str | None = None, queue: str = QUEUE, **columns: Any
) -> NewJob:
    chosen = VERBS[verb]
    payload = payload or chosen.payload()
    made = {"job_class": "normal", "user_id": "u", "request_id": "req-1", "expires_at_ms": None} | columns
    return NewJob(
        id=job_id or str(uuid.uuid4()),
        kind=chosen.name,
        version=payload.version,
        payload=payload.stored(),
        queue=queue,
        project_id=project,
        **made,
    )


def gadget(store: Store, status: str = "idle", **values: Any) -> str:
    row = {"id": str(uuid.uuid4()), "project_id": "p", "user_id": "u", "created_at": NOW, "status": status, "shine": 0, "parts": 0} | values
    store.run("toy", lambda tx: tx.execute(sa.insert(gadgets), row))
    return str(row["id"])


def ask(store: Store, verb: str, gadget_id: str, payload: Payload | None = None, *, version: RequestVersion = LATEST, **job: Any) -> str:
    made = new_job(verb, payload, **job)
    attempt(store, f"{verb}.request", lambda tx: begin(tx, VERBS[verb].transition, gadget_id, made, version=version, now=NOW))
    return made.id


def make_part(store: Store, gadget_id: str, lane: str = "hold", **job: Any) -> tuple[str, str]:
    """Ask for a part of a gadget; returns the part's and the job's ids."""
    made, part_id = new_job("make", **job), str(uuid.uuid4())
    guard = Guard("status", ("idle", "busy"), "its status is '{value}'")
    touch = Change(gadgets, gadget_id, {"parts": gadgets.c.parts + 1}, (guard,), lane=lane)
    row = {"id": part_id, "project_id": "p", "user_id": "u", "gadget_id": gadget_id}
    attempt(store, "make.request", lambda tx: begin_new(tx, MAKE, row, made, now=NOW, also=[touch]))
    return part_id, made.id


def worker(
    store: Store,
    *,
    queues: tuple[str, ...] = (QUEUE,),
    process: str = "other-boot:1:1:1",
    kinds: Mapping[str, int] | None = None,
    solo: bool = False,
) -> str:
    incarnation = Incarnation(str(uuid.uuid4()), "here", process, queues, kinds or REGISTRY.kinds(), solo)
    store.run("toy", lambda tx: register(tx, incarnation, SystemClock().utcnow()))
    return incarnation.id


def row(store: Store, table: sa.Table, row_id: str) -> Mapping[str, Any]:
    found = store.read("toy", lambda tx: tx.row(sa.select(table).where(table.c.id == row_id)))
    assert found is not None
    return found


def claim(store: Store, worker_id: str, slots: Mapping[str, int] | None = None, **wanted: Any) -> list[JobRow]:
    """One claim of ``worker_id``, at most two jobs of each class unless told otherwise."""
    kinds = tuple(REGISTRY.kinds().items())
    asked = Wanted(**{"queues": (QUEUE,), "kinds": kinds, "slots": slots or {"sync": 2, "normal": 2, "long": 2}} | wanted)
    return store.run("jobs.claim", lambda tx: claims.claim(tx, worker_id, asked, REGISTRY, NOW))


def only(found: Sequence[JobRow]) -> JobRow:
    """The only one of these jobs."""
    assert len(found) == 1, [job.kind for job in found]
    return found[0]


def work_of(store: Store, job: JobRow) -> Work:
    """What a worker makes of a claimed job."""
    verb = REGISTRY.verbs[job.kind]
    return Work(job, verb, store, REGISTRY, SystemClock(), Settings(), None)


def finish(store: Store, job: JobRow, **ending: Any) -> None:
    """End a claimed job as done, publishing ``values``."""
    work_of(store, job).finish(**ending)


def rescuer(
    store: Store, *, boottime: Callable[[], float] | None = None, dead: Container[str] = (), batch: int = 200, **rules: Any
) -> Rescuer:
    """A rescuer without a storage fence, for which the processes named in ``dead`` have ended for certain."""
    made: dict[str, Any] = {
        "times": LeaseSettings(),
        "orphan_timeout": 300.0,
        "max_attempts": 3,
        "fence": lambda _: None,
        "end_sessions": lambda _: None,
    } | rules
    clock = SystemClock()
    return Rescuer(
        store,
        REGISTRY,
        Rules(**made),
        boottime or clock.boottime,
        clock.utcnow,
        proven_dead=lambda process: str(process) in dead,
        batch=batch,
    )


def state(store: Store, job_id: str) -> str:
    """A job's state."""
    return str(store.read("toy", lambda tx: tx.execute(sa.select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one()))


def throw(error: BaseException) -> NoReturn:
    """Raise, where an expression is wanted."""
    raise error


def with_run(verb: str, run: Callable[[Work, Any], None], **changes: Any) -> Verb:
    """A verb that does something else."""
    return dataclasses.replace(VERBS[verb], run=run, **changes)


def registry_with(verb: Verb) -> Registry:
    """The toy's registry, with a changed verb in the place of its own."""
    return Registry(
        dataclasses.replace(each, verbs=tuple(verb if old.name == verb.name else old for old in each.verbs))
        for each in REGISTRY.resources.values()
    )


def with_registry(work: Work, verb: Verb) -> None:
    """Let ``work`` be one of a changed verb, in a registry that knows it."""
    work.verb, work.registry = verb, registry_with(verb)


def fence(store: Store, worker_id: str) -> None:
    """Declare a worker fenced, as a rescuer does in the end."""
    store.run("toy", lambda tx: tx.execute(sa.update(workers).where(workers.c.id == worker_id).values(state="fenced")))


def flood(store: Store, count: int, *, project: str, state: str = "queued", queued_ms: int = 2**53) -> None:
    """Many jobs at once, without lanes, which came last: a crowd that is only ever looked at."""
    columns = {
        "kind": "gadgets.look", "version": 1, "payload": {}, "queue": QUEUE, "class": "normal", "state": state, "epoch": 0,
        "queued_ms": queued_ms,
        "resource_type": "gadgets", "resource_id": "-", "project_id": project, "user_id": "u", "created_at": NOW,
    }  # fmt: skip
    rows = [columns | {"id": str(uuid.uuid4())} for _ in range(count)]
    store.run("toy", lambda tx: tx.execute(sa.insert(jobs), rows))


@dataclasses.dataclass
class Around:
    """The surroundings of workers of the toy's queue."""

    store: Store
    settings: Settings = dataclasses.field(default_factory=Settings)

    def worker(self, *, solo: bool = False) -> Worker:
        """A new live worker."""
        worker_id = worker(self.store, solo=solo)
        incarnation = Incarnation(worker_id, "here", "other-boot:1:1:1", (QUEUE,), REGISTRY.kinds(), solo)
        return Worker(Surroundings(self.store, REGISTRY, SystemClock(), self.settings, {}), incarnation)


def surroundings(store: Store) -> Around:
    """See :class:`Around`."""
    return Around(store)


def queued(store: Store, job_id: str) -> JobRow:
    """A job as whoever looks at the queue sees it."""
    return only(store.read("toy", lambda tx: rows(tx, jobs.c.id == job_id)))

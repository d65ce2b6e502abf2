"""A toy resource, so that the mechanism is tested by itself: gadgets, which can be polished, and their parts, made by one job."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.core.clock import SystemClock
from breezeblock.core.leases import Incarnation, register
from breezeblock.core.resource import Payload, Registry, Resource, Takeover, Verb
from breezeblock.core.transitions import Change, End, Guard, NewJob, Transition, attempt, begin, begin_new
from breezeblock.core.versions import RequestVersion, V
from breezeblock.core.work import Work
from breezeblock.store.engine import Store
from breezeblock.store.tables import metadata, resource_columns

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

"""Synchronous answers (R11): a request that waits for its job's result, in every way that this can end."""

import dataclasses
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.api import assemble
from breezeblock.api.app import create
from breezeblock.api.route import Route
from breezeblock.config import ApiSettings, Settings
from breezeblock.core import claims, endings
from breezeblock.core.bodies import Body
from breezeblock.core.claims import Wanted
from breezeblock.core.clock import SystemClock
from breezeblock.core.endings import Ending
from breezeblock.core.jobs import JobRow
from breezeblock.core.leases import Incarnation, register
from breezeblock.core.requests import Answer, JobResult, Request, Wait
from breezeblock.core.resource import JobClass, Payload, Registry, Resource, Verb
from breezeblock.core.transitions import NewJob, Transition, begin
from breezeblock.core.versions import RequestVersion
from breezeblock.core.wake import Waker
from breezeblock.core.work import Work
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import jobs as jobs_table
from tests.support.api import Client, services, verb

QUEUE = "volume:here@fake"
LOOK = Transition("widgets.look", volumes, via=None, done=None, failed=None)
PATH = "/v3/p1/widgets/w/action"


class Nothing(Payload, frozen=True):
    """Needs to know nothing."""


def run(work: Work, wanted: Nothing) -> None:
    raise NotImplementedError("the test is the worker")


VERB = Verb(LOOK, Nothing, run, job_class=JobClass.SYNC)
REGISTRY = Registry([Resource("volumes", volumes, (VERB,))])


def look(req: Request, widget_id: str) -> Wait:
    """Ask a worker; answer what it saw."""
    req.authorize("volume:get")
    job = NewJob.of(req, VERB, Nothing(), QUEUE)
    begin(req.tx, LOOK, widget_id, job, version=req.version, now=req.clock.utcnow())
    return Wait(job.id, reply, seconds=2)


def reply(req: Request, result: JobResult) -> Answer:
    if not result.done:
        raise errors.Invalid(reason=str(result.error["message"]))
    status = req.tx.execute(sa.select(volumes.c.status)).scalar_one()
    return Answer(200, {"saw": result.result["saw"], "status": status})


ROUTE = Route("POST", "/widgets/{widget_id}/action", verb("look", look, BODY=Body("look", {}, nullable=True)), "volume:get", action="look")


class SteppedClock(SystemClock):
    """Time that only waiting moves."""

    now = 0.0

    def boottime(self) -> float:
        return self.now


class Scene:
    """An application whose waiting gives the turn to ``meanwhile``, the test's worker."""

    def __init__(self, store: Store, meanwhile: Callable[["Scene"], object] = lambda _: None, **api: Any) -> None:
        self.store, self.meanwhile, self.clock, self.pauses = store, meanwhile, SteppedClock(), 0
        made = services(store, Settings(api=ApiSettings(**api)), registry=REGISTRY, listen=self.listen)
        self.client = Client(create(dataclasses.replace(made, clock=self.clock), [ROUTE]))
        row = {"id": "w", "project_id": "p1", "user_id": "u", "status": "available", "size_gib": 1, "metadata": {}, "image_metadata": {}}
        store.run("fill", lambda tx: tx.execute(sa.insert(volumes).values(**row, created_at=self.clock.utcnow())))

    def listen(self, queue: str) -> AbstractContextManager["Scene"]:
        assert queue == QUEUE
        return nullcontext(self)

    def wait(self, timeout: float, /) -> None:
        assert 0 <= timeout <= 0.2
        self.clock.now += timeout
        self.pauses += 1
        self.meanwhile(self)

    def worker(self, kinds: tuple[str, ...] = ("widgets.look",)) -> str:
        incarnation = Incarnation(str(uuid.uuid4()), "here", "p", (QUEUE,), dict.fromkeys(kinds, 1))
        self.store.run("register", lambda tx: register(tx, incarnation, self.clock.utcnow()))
        return incarnation.id

    def claim(self, worker: str) -> list[JobRow]:
        wanted = Wanted((QUEUE,), (("widgets.look", 1),), {"sync": 9})
        return self.store.run("claim", lambda tx: claims.claim(tx, worker, wanted, REGISTRY, self.clock.utcnow()))

    def finish(self, job: JobRow, ending: Ending) -> None:
        self.store.run("finish", lambda tx: endings.finish(tx, job, LOOK, REGISTRY, ending, self.clock.utcnow()))

    def ask(self) -> Any:
        return self.client.post(PATH, {"look": None})

    def state(self) -> tuple[str, ...]:
        """The states of all jobs, and that of the widget's lanes."""
        states = self.store.read("states", lambda tx: tx.execute(sa.select(jobs_table.c.state).order_by(jobs_table.c.seq)).scalars().all())
        lanes = self.store.read("lanes", lambda tx: tx.execute(sa.select(volumes.c.live_jobs, volumes.c.running_job)).one())
        return (*states, "free" if tuple(lanes) == (0, None) else "held")


def test_the_workers_result_is_the_answer(store: Store) -> None:
    def work(scene: Scene) -> None:
        for job in scene.claim(worker):
            scene.finish(job, Ending(ok=True, result={"saw": "a cat"}))

    scene = Scene(store, work)
    worker = scene.worker()
    answer = scene.ask()
    assert (answer.status_code, answer.json) == (200, {"saw": "a cat", "status": "available"})
    assert scene.state() == ("done", "free")
    assert scene.pauses == 1


def test_a_failure_reaches_the_reply(store: Store) -> None:
    def work(scene: Scene) -> None:
        for job in scene.claim(worker):
            scene.finish(job, Ending(ok=False, error=errors.Invalid(reason="it is dark")))

    scene = Scene(store, work)
    worker = scene.worker()
    answer = scene.ask()
    assert (answer.status_code, answer.json["badRequest"]["message"]) == (400, "it is dark")


@pytest.mark.parametrize("kinds", [None, ("widgets.other",)])
def test_without_a_capable_worker_it_fails_at_once(store: Store, kinds: tuple[str, ...] | None) -> None:
    scene = Scene(store)
    if kinds is not None:
        scene.worker(kinds)
    answer = scene.ask()
    assert answer.status_code == 503
    assert f"No live worker serves {QUEUE}" in answer.json["serviceUnavailable"]["message"]
    assert answer.headers["retry-after"] == "5"
    assert scene.pauses == 0
    assert scene.state() == ("failed", "free")


def test_a_worker_that_dies_meanwhile_is_noticed_before_the_time_is_up(store: Store) -> None:
    def die(scene: Scene) -> None:
        store.run("die", lambda tx: tx.execute(sa.text("UPDATE workers SET state = 'fenced'")))

    scene = Scene(store, die)
    scene.worker()
    assert "No live worker" in scene.ask().text
    assert scene.clock.now < 1.5


def test_when_time_is_up_a_queued_job_is_withdrawn(store: Store) -> None:
    scene = Scene(store)
    worker = scene.worker()
    answer = scene.ask()
    assert answer.status_code == 503
    assert "within 2 seconds" in answer.json["serviceUnavailable"]["message"]
    assert scene.state() == ("failed", "free")
    assert scene.claim(worker) == []
    assert 2 <= scene.clock.now < 2.2


def test_when_time_is_up_a_running_job_runs_on(store: Store) -> None:
    taken: list[JobRow] = []
    scene = Scene(store, lambda scene: taken.extend(scene.claim(worker)))
    worker = scene.worker()
    assert scene.ask().status_code == 503
    assert scene.state() == ("claimed", "held")
    scene.finish(taken[0], Ending(ok=True, result={"saw": "nothing"}))
    assert scene.state() == ("done", "free")


def test_waiting_requests_are_capped(store: Store) -> None:
    refused: list[Any] = []

    def ask_again(scene: Scene) -> None:
        if not refused:
            refused.append(scene.ask())

    scene = Scene(store, ask_again, max_waiting=1)
    scene.worker()
    scene.ask()
    assert refused[0].status_code == 503
    assert "too many requests wait" in refused[0].json["serviceUnavailable"]["message"]
    assert scene.state() == ("failed", "failed", "free")
    assert "within 2 seconds" in scene.ask().text


def test_a_result_that_nobody_reads_any_more_changes_nothing(store: Store) -> None:
    """The client went away, or this process died: the job ends as it would have."""

    class GoneError(BaseException):
        pass

    def leave(scene: Scene) -> None:
        raise GoneError

    scene = Scene(store, leave)
    worker = scene.worker()
    with pytest.raises(GoneError):
        scene.ask()
    [job] = scene.claim(worker)
    scene.finish(job, Ending(ok=True, result={"saw": "a cat"}))
    assert scene.state() == ("done", "free")


def test_a_hint_of_the_queue_ends_a_pause(database: str, tmp_path: Path) -> None:
    """Two real processes' parts: the request hears of the worker's finish through the state directory."""
    store = Store(database, name="worker")
    store.waker = Waker(tmp_path).wake
    heard: list[object] = []
    with assemble._listen(tmp_path, QUEUE) as hints:
        scene = Scene(store)
        worker = scene.worker()
        scene.store.run("ask", lambda tx: tx.wake("volume:elsewhere"))
        heard.append(hints.wait(0.01))
        scene.store.run("ask", lambda tx: begin(tx, LOOK, "w", job(), version=RequestVersion.latest(), now=scene.clock.utcnow()))
        heard.append(hints.wait(10))
        [taken] = scene.claim(worker)
        scene.finish(taken, Ending(ok=True))
        heard.append(hints.wait(10))
    assert heard == [frozenset(), frozenset({QUEUE}), frozenset({QUEUE})]


def job() -> NewJob:
    payload = Nothing()
    return NewJob(str(uuid.uuid4()), VERB.name, payload.version, payload.stored(), QUEUE, "sync", "p1", "u", None)


def test_without_a_place_for_hints_it_waits_all_the_same(database: str, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with assemble._listen(tmp_path, QUEUE) as hints:
        hints.wait(0.001)

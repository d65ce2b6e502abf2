"""Every invariant can be seen to be broken: one row is corrupted, and its checker says so; nothing else does before."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.drivers.fake import FakeObject, Outcome, Record
from breezeblock.drivers.interface import Effect, Token
from breezeblock.resources.attachments import create as attach
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.snapshots import create as snapshot_create
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import create, extend
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.tables.protocol import job_lanes, jobs, messages, pools, quotas, workers
from tests.checkers.everything import Watch
from tests.support.world import World

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Scene:
    """A healed deployment: volume ``done`` with a snapshot, ``attached`` reserved, ``failed`` in error; or, under way, ``moving`` too."""

    def __init__(self, database: str, path: Path) -> None:
        self.world = World(database, path, migrated=True)
        self.watch = Watch(self.world.store, self.world.registry, self.world.driver)
        self.done, self.attached = self.volume(2), self.volume(1)
        self.failed = self.volume(1_000_000_000)
        self.world.settle()
        self.snapshot = str(uuid.uuid4())
        self.world.ask(snapshot_create, {"volume_id": self.done}, ids={"snapshot": self.snapshot})
        self.world.settle()
        self.world.ask(attach, {"volume_uuid": self.attached})

    def volume(self, size: int) -> str:
        made = str(uuid.uuid4())
        self.world.ask(create, {"size": size}, ids={"volume": made})
        return made

    def move(self) -> str:
        """A job under way: claimed by the volume worker, not finished."""
        job = str(uuid.uuid4())
        self.world.ask(extend, {"new_size": 5}, ids={"job": job}, volume_id=self.done)
        [claimed] = self.world.volume.claim({"normal": 1})
        assert claimed.id == job
        return job

    def do(self, *statements: sa.Executable) -> None:
        self.world.store.run("corrupt", lambda tx: [tx.execute(statement) for statement in statements])

    def of(self, volume_id: str, **values: Any) -> sa.Update:
        return sa.update(volumes).where(volumes.c.id == volume_id).values(values)

    def job(self, **values: Any) -> sa.Update:
        return sa.update(jobs).where(jobs.c.resource_id == self.done, jobs.c.kind == "volumes.extend").values(values)


@pytest.fixture
def scene(database: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(database, tmp_path)
    yield scene
    scene.world.store.dispose()


Corrupt = Callable[[Scene], object]
NOBODY = str(uuid.UUID(int=0))


def empty(scene: Scene) -> None:
    """Everything on the backend is lost."""
    scene.world.driver.remove([each.name for each in scene.world.driver.objects()])


def put(scene: Scene, resource_id: str) -> None:
    """An object on the backend that no row refers to."""
    with scene.world.driver.store.session() as session:
        session.put(FakeObject(f"{resource_id}.{NOBODY}.e1", resource_id, NOBODY, 1, 1))


def late(scene: Scene) -> None:
    """A fenced call that the backend let pass after a newer one."""
    with scene.world.driver.store.session() as session:
        for epoch in (2, 1):
            session.log(Record("extend", Effect.FENCED, scene.done, NOBODY, Token(1, 9, epoch), Outcome.APPLIED))


HEALED: dict[str, tuple[Corrupt, str]] = {
    "a quota": (lambda it: it.do(sa.update(quotas).where(quotas.c.resource == "volumes").values(in_use=1)), "'volumes'): 1 instead of 3"),
    "a pool": (lambda it: it.do(sa.update(pools).values(provisioned_gib=1)), "('pool', 'here@fake#fake'): 1 instead of 3"),
    "a transitional status": (lambda it: it.do(it.of(it.done, status="extending")), "is extending, with 0 unfinished jobs"),
    "live_jobs": (lambda it: it.do(it.of(it.done, live_jobs=1)), "has live_jobs = 1, but 0 such lanes"),
    "pins": (lambda it: it.do(it.of(it.done, pins=2)), "has pins = 2, but 0 such lanes"),
    "running_job": (lambda it: it.do(it.of(it.done, running_job=NOBODY)), f"is run by job {NOBODY}, which is gone"),
    "a leftover lane": (
        lambda it: it.do(sa.insert(job_lanes).from_select(
            ["job_id", "resource_id", "resource_type", "generation", "shared"],
            sa.select(jobs.c.id, jobs.c.resource_id, jobs.c.resource_type, sa.literal(1), sa.false()).where(jobs.c.resource_id == it.done),
        )),
        "outlived the job, which is done",
    ),
    "a lost message": (lambda it: it.do(sa.delete(messages)), "volumes.create failed without a message"),
    "an unfinished job": (lambda it: it.world.ask(extend, {"new_size": 9}, volume_id=it.done), "volumes.extend is still queued"),
    "a handle without its object": (empty, "which the backend does not have"),
    "no handle": (lambda it: it.do(it.of(it.done, handle=sa.null())), "needs an object, which the backend does not have"),
    "a snapshot without its object": (
        lambda it: it.do(sa.update(snapshots).values(handle={"object": "nothing", "size_gib": 2})), "needs nothing, which the backend"
    ),
    "an object that nobody needs": (lambda it: put(it, NOBODY), "which nobody needs"),
    "another size": (lambda it: it.do(it.of(it.done, size_gib=3)), "has 3 GiB, its object 2"),
    "a late effect": (late, "took effect with token 1.9.1, after 1.9.2"),
    "an attachment's count": (lambda it: it.do(it.of(it.attached, attachments=0)), "has attachments = 0, but 1 such attachments"),
    "an attachment's volume": (lambda it: it.do(sa.update(attachments).values(volume_id=NOBODY)), "which does not exist"),
    "attach_status": (lambda it: it.do(it.of(it.done, attach_status="attached")), "but no attached attachment"),
    "in-use": (lambda it: it.do(it.of(it.done, status="in-use")), "is in-use without an attached attachment"),
    "available": (lambda it: it.do(it.of(it.attached, status="available")), "is available with 1 attachments"),
}  # fmt: skip

UNDER_WAY: dict[str, tuple[Corrupt, str]] = {
    "a job without its status": (lambda it: it.do(it.of(it.done, status="available")), "is claimed, but its volumes"),
    "a job without a lane": (lambda it: it.do(sa.delete(job_lanes)), "is claimed without a lane on its own resource"),
    "a freed lane": (lambda it: it.do(it.of(it.done, running_job=None)), "is run by None"),
    "a lane of a missing row": (lambda it: it.do(sa.delete(volumes).where(volumes.c.id == it.done)), "is of a row that does not exist"),
    "a lane from the future": (lambda it: it.do(sa.update(job_lanes).values(generation=99)), "has generation 99, above the row's"),
    "two lanes of one generation": (
        lambda it: it.do(sa.insert(job_lanes).from_select(
            ["job_id", "resource_id", "resource_type", "generation", "shared"],
            sa.select(sa.literal(NOBODY), job_lanes.c.resource_id, job_lanes.c.resource_type, job_lanes.c.generation, job_lanes.c.shared),
        )),
        "share generation",
    ),
    "a shared lane that runs": (lambda it: it.do(sa.update(job_lanes).values(shared=True)), "which has no lane on it"),
    "a job that nobody claimed": (lambda it: it.do(it.job(state="queued", owner=None, epoch=0)), "which nobody ever claimed"),
    "nobody's claim": (lambda it: it.do(it.job(owner=None)), "is claimed by nobody"),
    "a claim without an epoch": (lambda it: it.do(it.job(epoch=0)), "is claimed at epoch 0"),
    "two owners": (lambda it: it.do(it.job(owner=NOBODY)), "had two owners at epoch 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALED)
def test_a_healed_deployment_with_one_wrong_row(scene: Scene, name: str) -> None:
    corrupt, said = HEALED[name]
    assert scene.watch.problems(healed=True) == []
    corrupt(scene)
    found = scene.watch.problems(healed=True)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("name", UNDER_WAY)
def test_work_under_way_with_one_wrong_row(scene: Scene, name: str) -> None:
    corrupt, said = UNDER_WAY[name]
    scene.move()
    assert scene.watch.problems() == []
    corrupt(scene)
    found = scene.watch.problems()
    assert any(said in problem for problem in found), found


def test_a_job_held_by_the_dead(scene: Scene) -> None:
    scene.move()
    scene.do(sa.update(workers).values(state="fenced"))
    assert any("which is not live" in problem for problem in scene.watch.problems(healed=True))


def test_what_ended_stays_ended_and_epochs_only_rise(scene: Scene) -> None:
    job = scene.move()
    assert scene.watch.problems() == []
    scene.do(sa.update(jobs).where(jobs.c.id == job).values(epoch=7))
    assert scene.watch.problems() == []
    scene.do(sa.update(jobs).where(jobs.c.id == job).values(epoch=6, owner=NOBODY))
    assert any("fell from epoch 7 to 6" in problem for problem in scene.watch.problems())
    scene.do(sa.update(jobs).where(jobs.c.kind == "volumes.create").values(state="queued"))
    assert any("was done and is queued" in problem for problem in scene.watch.problems())


def test_two_lanes_of_a_row_that_moves_itself(scene: Scene) -> None:
    """Two jobs that both lead out of one status."""
    job = scene.move()
    columns = [column for column in jobs.c if column.name not in ("seq", "id")]
    copy = sa.select(sa.literal(NOBODY), *columns).where(jobs.c.id == job)
    scene.do(sa.insert(jobs).from_select(["id", *(column.name for column in columns)], copy))
    assert any("with 2 unfinished jobs" in problem for problem in scene.watch.problems())


def test_an_accepted_request_that_is_lost(scene: Scene) -> None:
    from tests.checkers import answers

    assert answers.problems(scene.world.store, [NOBODY]) == [f"job {NOBODY} was accepted, and is lost"]

"""Rescue: who is fenced, when, and what becomes of his work (protocol rule R5)."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import LeaseSettings
from breezeblock.core import claims, jobs, leases
from breezeblock.core.claims import Wanted
from breezeblock.core.jobs import JobRow
from breezeblock.core.rescue import Rescuer, Watch
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import jobs as jobs_table
from breezeblock.store.tables.protocol import messages, workers
from tests.unit.core import toy
from tests.unit.core.toy import gadgets

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
TIMES = LeaseSettings()
TERM = TIMES.lease_seconds + TIMES.margin
HERE = "this-boot:1:77:1"


class Scene:
    """A rescuer on a virtual clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 0.0
        self.dead: set[str] = set()
        self.trouble: BaseException | None = None
        self.ended_sessions: list[str] = []
        self.rescuer = self.another()

    def another(self, **rules: Any) -> Rescuer:
        return toy.rescuer(
            self.store, boottime=lambda: self.now, dead=self.dead, fence=self._fence, end_sessions=self.ended_sessions.append, **rules
        )

    def _fence(self, row: Any) -> None:
        if self.trouble is not None:
            raise self.trouble

    def watch(self, seconds: float) -> None:
        """The rescuer looks, waits, and looks again."""
        self.rescuer.pass_once()
        self.now += seconds

    def state(self, worker_id: str) -> str:
        return str(self.store.read("toy", lambda tx: tx.execute(sa.select(workers.c.state).where(workers.c.id == worker_id)).scalar_one()))

    def job(self, job_id: str) -> Any:
        return self.store.read("toy", lambda tx: tx.execute(sa.select(jobs_table).where(jobs_table.c.id == job_id)).one())

    def held(self, verb: str = "polish", **worker: Any) -> tuple[str, JobRow]:
        """A worker with a claimed job."""
        me = toy.worker(self.store, **worker)
        toy.ask(self.store, verb, toy.gadget(self.store))
        return me, toy.only(toy.claim(self.store, me))

    def die_alone(self, job_id: str) -> str:
        """A lone process of this host claims the suspect job, and is gone."""
        me = toy.worker(self.store, process=HERE, solo=True)
        wanted = Wanted((toy.QUEUE,), tuple(toy.REGISTRY.kinds().items()), {})
        claimed = self.store.run("toy", lambda tx: claims.claim_suspect(tx, me, job_id, wanted, toy.REGISTRY, toy.NOW))
        assert claimed is not None
        self.dead.add(HERE)
        return me


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def test_a_beat_must_stand_still_for_lease_and_margin_under_our_own_eyes(scene: Scene) -> None:
    me, job = scene.held()
    scene.watch(TERM - 0.1)
    assert scene.rescuer.pass_once().fenced == []
    scene.now += 0.2
    done = scene.rescuer.pass_once()
    assert (done.fenced, done.requeued) == ([me], [job.id])
    assert scene.ended_sessions == [me]


def test_a_rescuer_that_just_came_has_seen_nothing(scene: Scene) -> None:
    scene.held()
    scene.watch(TERM + 0.1)
    assert scene.another().pass_once().fenced == []


def test_a_beat_that_rises_starts_the_watch_anew(scene: Scene) -> None:
    me, _ = scene.held()
    scene.watch(TERM - 0.1)
    scene.store.run("beat", lambda tx: leases.renew(tx, me, 0))
    scene.watch(TERM - 0.1)
    assert scene.rescuer.pass_once().fenced == []


def test_an_absence_of_the_database_starts_the_watch_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.held()
    scene.watch(TERM + 0.1)
    with monkeypatch.context() as away:
        away.setattr(scene.store, "read", lambda *_: toy.throw(errors.DatabaseAway()))
        with pytest.raises(errors.DatabaseAway):
            scene.rescuer.pass_once()
    assert scene.rescuer.pass_once().fenced == []


def test_a_loss_that_the_store_mended_by_itself_starts_the_watch_anew(scene: Scene) -> None:
    """Reads are tried again silently; whoever answered after that may be a server that lost the last beats."""
    scene.held()
    scene.watch(TERM + 0.1)
    scene.store.losses += 1
    assert scene.rescuer.pass_once().fenced == []
    scene.now += TERM + 0.1
    assert len(scene.rescuer.pass_once().fenced) == 1


def test_another_server_starts_the_watch_anew(store: Store) -> None:
    watch = Watch()
    watch.see(0, {"a:1"}, 1.0)
    watch.beats["w"] = (3, 1.0)
    watch.see(0, {"a:1"}, 2.0)
    assert watch.beats
    assert watch.since == 1.0
    watch.see(0, {"b:1"}, 3.0)
    assert not watch.beats
    assert watch.since == 3.0


def test_a_process_that_is_proven_dead_is_fenced_at_once(scene: Scene) -> None:
    me, job = scene.held(process=HERE)
    assert scene.rescuer.pass_once().fenced == []
    scene.dead.add(HERE)
    done = scene.rescuer.pass_once()
    assert (done.fenced, done.requeued) == ([me], [job.id])


def test_nothing_is_taken_over_while_the_fence_fails(scene: Scene) -> None:
    me, job = scene.held()
    scene.trouble = OSError("the storage does not answer")
    scene.watch(TERM + 0.1)
    for _ in range(2):
        done = scene.rescuer.pass_once()
        assert (done.fenced, done.requeued, scene.state(me)) == ([], [], "fencing")
    scene.trouble = None
    done = scene.rescuer.pass_once()
    assert (done.fenced, done.requeued) == ([me], [job.id])


def test_a_fence_that_fails_for_one_holds_up_no_other(scene: Scene) -> None:
    first, _ = scene.held()
    second, _ = scene.held()
    broken = min(first, second)
    scene.rescuer = scene.another()
    scene.watch(TERM + 0.1)
    object.__setattr__(scene.rescuer._rules, "fence", lambda row: toy.throw(OSError()) if row.id == broken else None)
    assert scene.rescuer.pass_once().fenced == [max(first, second)]


def test_a_worker_whose_row_cannot_be_read_holds_up_no_other(scene: Scene) -> None:
    scene.held(process="not a process")
    other, _ = scene.held(process=HERE)
    scene.dead.add(HERE)
    assert scene.rescuer.pass_once().fenced == [other]


def test_what_a_rescuer_left_behind_when_it_died_another_finishes(scene: Scene) -> None:
    me, job = scene.held()
    scene.store.run("toy", lambda tx: tx.execute(sa.update(workers).values(state="fencing")))
    assert scene.another().pass_once().fenced == [me]
    assert toy.state(scene.store, job.id) == "queued"


@pytest.mark.parametrize("state", ["fenced", "gone"])
def test_every_pass_takes_over_what_nobody_live_holds(scene: Scene, state: str) -> None:
    _, job = scene.held()
    scene.store.run("toy", lambda tx: tx.execute(sa.update(workers).values(state=state)))
    assert scene.another().pass_once().requeued == [job.id]
    found = scene.job(job.id)
    assert (found.state, found.owner, found.epoch, found.suspect) == ("queued", None, 1, state == "fenced")


def test_jobs_of_a_worker_whose_row_is_gone_are_taken_over(scene: Scene) -> None:
    _, job = scene.held()
    scene.store.run("toy", lambda tx: tx.execute(sa.delete(workers)))
    assert scene.another().pass_once().requeued == [job.id]
    assert scene.job(job.id).suspect


def test_a_cancelled_job_of_the_dead_gives_its_lane_back(scene: Scene) -> None:
    me, job = scene.held("look")
    store = scene.store
    store.run("toy", lambda tx: jobs.cancel_all(tx, gadgets, job.resource_id, toy.REGISTRY, toy.NOW))
    assert toy.row(store, gadgets, job.resource_id)["running_job"] == job.id
    scene.rescuer.pass_once()
    assert toy.row(store, gadgets, job.resource_id)["running_job"] == job.id
    toy.fence(store, me)
    scene.rescuer.pass_once()
    found = toy.row(store, gadgets, job.resource_id)
    assert (found["running_job"], found["live_jobs"], toy.state(store, job.id)) == (None, 0, "cancelled")


def test_poison_ends_after_so_many_deaths_of_lone_processes(scene: Scene) -> None:
    me, job = scene.held()
    toy.fence(scene.store, me)
    scene.watch(TERM + 0.1)
    for death in (1, 2, 3):
        scene.rescuer.pass_once()
        assert toy.state(scene.store, job.id) == "queued"
        scene.die_alone(job.id)
        done = scene.rescuer.pass_once()
        assert scene.job(job.id).attempts == death
        scene.dead.clear()
    assert done.ended == [job.id]
    assert toy.row(scene.store, gadgets, job.resource_id)["status"] == "error"
    text = scene.store.read("toy", lambda tx: tx.execute(sa.select(messages.c.text)).scalar_one())
    assert "3 processes died while they ran it" in text


def test_only_a_lone_process_can_die_of_its_job(scene: Scene) -> None:
    """Another may have died of any of its jobs, or of none."""
    _, job = scene.held(process=HERE)
    scene.watch(TERM + 0.1)
    scene.dead.add(HERE)
    scene.rescuer.pass_once()
    assert (scene.job(job.id).attempts, scene.job(job.id).suspect) == (0, True)


@pytest.mark.parametrize("cause", ["absence", "other host"])
def test_a_death_for_lack_of_the_database_does_not_count(scene: Scene, cause: str) -> None:
    me, job = scene.held()
    toy.fence(scene.store, me)
    scene.watch(TERM + 0.1)
    scene.rescuer.pass_once()
    scene.die_alone(job.id)
    if cause == "absence":
        scene.rescuer.watch.forget()
    else:
        scene.dead.clear()
        scene.watch(TERM + 0.1)
    scene.rescuer.pass_once()
    assert (toy.state(scene.store, job.id), scene.job(job.id).attempts) == ("queued", 0)


def test_progress_forgives_deaths(scene: Scene) -> None:
    _, job = scene.held()
    scene.store.run("toy", lambda tx: tx.execute(sa.update(jobs_table).values(attempts=2, suspect=True)))
    scene.store.run("toy", lambda tx: jobs.checkpoint(tx, job, {"done": 1}))
    assert scene.job(job.id).attempts == 0
    scene.store.run("toy", lambda tx: tx.execute(sa.update(jobs_table).values(attempts=2)))
    scene.store.run("toy", lambda tx: jobs.hand_off(tx, job, toy.REGISTRY, toy.QUEUE, {}))
    found = scene.job(job.id)
    assert (found.attempts, found.suspect, found.claimed_at) == (0, False, None)


def test_a_job_that_nobody_can_run_ends_as_if_it_had_never_been(scene: Scene) -> None:
    gadget_id = toy.gadget(scene.store)
    job_id = toy.ask(scene.store, "polish", gadget_id)
    toy.worker(scene.store, solo=True)
    toy.worker(scene.store, kinds={"gadgets.polish": 2})
    toy.worker(scene.store, queues=("elsewhere",))
    scene.watch(299)
    assert scene.rescuer.pass_once().ended == []
    scene.now += 2
    assert scene.rescuer.pass_once().ended == [job_id]
    assert toy.row(scene.store, gadgets, gadget_id)["status"] == "idle"


def test_one_that_ran_before_ends_in_error(scene: Scene) -> None:
    me, job = scene.held()
    toy.fence(scene.store, me)
    scene.watch(301)
    assert scene.rescuer.pass_once().ended == [job.id]
    assert toy.row(scene.store, gadgets, job.resource_id)["status"] == "error"


def test_a_worker_that_comes_saves_it(scene: Scene) -> None:
    toy.ask(scene.store, "polish", toy.gadget(scene.store))
    scene.watch(200)
    toy.worker(scene.store)
    scene.watch(200)
    assert scene.rescuer.pass_once().ended == []


def test_the_wait_for_a_worker_is_watched_without_a_gap(scene: Scene) -> None:
    toy.ask(scene.store, "polish", toy.gadget(scene.store))
    scene.watch(200)
    scene.rescuer.watch.forget()
    scene.watch(200)
    assert scene.rescuer.pass_once().ended == []


def test_what_is_not_repeated_is_rolled_back_however_its_holder_ended(scene: Scene) -> None:
    """Also after a clean end in the middle of the job: it was begun, and its effects are unknown."""
    for state in ("fenced", "gone"):
        me, job = scene.held("scrap")
        scene.store.run("toy", partial(Tx.execute, statement=sa.update(workers).where(workers.c.id == me).values(state=state)))
        scene.another().pass_once()
        scene.store.run("toy", lambda tx: tx.execute(sa.update(jobs_table).values(suspect=False)))
        around = toy.surroundings(scene.store)
        around.worker().perform(toy.only(toy.claim(scene.store, toy.worker(scene.store))))
        assert toy.state(scene.store, job.id) == "failed"
        assert toy.row(scene.store, gadgets, job.resource_id)["status"] == "error"


def test_what_is_not_repeated_runs_in_its_second_queue(scene: Scene) -> None:
    """A job that was handed on has been claimed before, but not there."""
    _, job = scene.held("scrap")
    scene.store.run("toy", lambda tx: jobs.hand_off(tx, job, toy.REGISTRY, toy.QUEUE, {}))
    around = toy.surroundings(scene.store)
    around.worker().perform(toy.only(toy.claim(scene.store, toy.worker(scene.store))))
    assert toy.state(scene.store, job.id) == "done"

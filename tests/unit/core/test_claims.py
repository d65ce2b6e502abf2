"""Claiming: lanes, order, fairness, and what stays queued (protocol rules R3 and R10)."""

import uuid
from collections import Counter
from functools import partial

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import claims, faults
from breezeblock.core.claims import Wanted
from breezeblock.core.jobs import hand_off
from breezeblock.store.engine import Store, Tx
from breezeblock.store.sql import now_ms
from breezeblock.store.tables.protocol import jobs
from tests.support.statements import counted
from tests.unit.core import toy
from tests.unit.core.toy import gadgets, parts

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_one_lane_runs_one_job_at_a_time_in_order(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    asked = [toy.ask(store, "look", gadget_id) for _ in range(3)]
    ran = []
    for _ in asked:
        job = toy.only(toy.claim(store, me))
        assert toy.claim(store, me) == []
        toy.finish(store, job)
        ran.append(job.id)
    assert ran == asked


def test_order_in_a_lane_is_its_generation_and_no_time_of_arrival(store: Store) -> None:
    """Times and sequence numbers are taken before the commit, so they may stand in another order than the commits."""
    gadget_id, me = toy.gadget(store), toy.worker(store)
    first, second = toy.ask(store, "look", gadget_id), toy.ask(store, "look", gadget_id)

    def swap(tx: Tx) -> None:
        for job_id, at in ((first, 2), (second, 1)):
            tx.execute(sa.update(jobs).where(jobs.c.id == job_id).values(queued_ms=at))

    store.run("toy", swap)
    assert toy.only(toy.claim(store, me)).id == first


def test_a_job_that_was_picked_too_early_is_not_taken(store: Store) -> None:
    """A database may show a locking read rows that are newer than what its subqueries see; the lane has the last word."""
    gadget_id, me = toy.gadget(store), toy.worker(store)
    toy.make_part(store, gadget_id)
    _, reader = toy.make_part(store, gadget_id, lane="share")
    early = toy.queued(store, reader)
    assert store.run("toy", lambda tx: claims.take(tx, [early], me, toy.REGISTRY, toy.NOW, 1)) == []
    assert toy.state(store, reader) == "queued"


def test_a_lost_lane_costs_no_epoch(store: Store) -> None:
    """Nobody ran it, so an abandoned one goes back to its previous status."""
    gadget_id, me = toy.gadget(store), toy.worker(store)
    job_id = toy.ask(store, "polish", gadget_id)
    store.run("toy", lambda tx: tx.execute(sa.update(gadgets).values(running_job=str(uuid.uuid4()))))
    assert toy.claim(store, me) == []
    row = store.read("toy", lambda tx: tx.execute(sa.select(jobs.c.state, jobs.c.epoch, jobs.c.claimed_at, jobs.c.owner)).one())
    assert tuple(row) == ("queued", 0, None, None)
    assert toy.state(store, job_id) == "queued"


def test_lanes_of_a_batch_are_taken_in_lock_order(store: Store) -> None:
    """Whatever the order of the jobs: others lock the same rows by rank and id (protocol rule R9)."""
    ids = sorted((toy.gadget(store) for _ in range(4)), reverse=True)
    for gadget_id in ids:
        toy.ask(store, "look", gadget_id)
    me = toy.worker(store)
    with counted(store) as statements:
        assert len(toy.claim(store, me, {"normal": 4})) == 4
    entered = [parameters[-2] for text, parameters in statements if text.startswith("UPDATE gadgets")]
    assert entered == sorted(ids)


def test_readers_share_a_lane_and_keep_writers_out(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    readers = {toy.make_part(store, gadget_id, lane="share")[1] for _ in range(2)}
    writer = toy.ask(store, "polish", gadget_id)
    claimed = toy.claim(store, me)
    assert {job.id for job in claimed} == readers
    for job in claimed:
        toy.finish(store, job)
    assert toy.only(toy.claim(store, me)).id == writer


def test_no_more_than_the_free_slots_of_each_class(store: Store) -> None:
    me = toy.worker(store)
    for job_class in ("normal", "sync", "long"):
        for _ in range(3):
            toy.ask(store, "look", toy.gadget(store), job_class=job_class)
    claimed = toy.claim(store, me, {"sync": 1, "normal": 2, "long": 0})
    assert Counter(job.job_class for job in claimed) == {"sync": 1, "normal": 2}


def test_every_project_gets_its_turn_however_few_the_slots(store: Store) -> None:
    around = toy.surroundings(store)
    me = around.worker()
    for project in "abcde":
        for _ in range(3):
            toy.ask(store, "look", toy.gadget(store), project=project)
    served = []
    for _ in range(5):
        job = toy.only(me.claim({"normal": 1}))
        served.append(job.project_id)
        me.perform(job)
    assert sorted(served) == list("abcde")


def test_a_claim_asks_no_more_for_more_waiting_projects(store: Store) -> None:
    me = toy.worker(store)
    for number in range(6):
        toy.ask(store, "look", toy.gadget(store), project=f"p{number:02}")
    with counted(store) as few:
        assert len(toy.claim(store, me, {"normal": 1})) == 1
    for number in range(6, 20):
        toy.ask(store, "look", toy.gadget(store), project=f"p{number:02}")
    with counted(store) as many:
        assert len(toy.claim(store, me, {"normal": 1})) == 1
    assert len(many) <= len(few)


def test_what_the_binary_does_not_know_stays_queued(store: Store) -> None:
    me = toy.worker(store)
    for change in ({"version": 2}, {"kind": "gadgets.melt"}):
        job_id = toy.ask(store, "look", toy.gadget(store))
        store.run("toy", partial(Tx.execute, statement=sa.update(jobs).where(jobs.c.id == job_id).values(**change)))
    known = toy.ask(store, "look", toy.gadget(store))
    assert toy.only(toy.claim(store, me)).id == known
    assert toy.claim(store, me) == []


def test_an_expired_job_is_not_claimed(store: Store) -> None:
    me = toy.worker(store)
    toy.ask(store, "look", toy.gadget(store), expires_at_ms=1)
    later = toy.ask(store, "look", toy.gadget(store), expires_at_ms=2**53)
    assert toy.only(toy.claim(store, me)).id == later


def test_a_fenced_worker_claims_nothing(store: Store) -> None:
    me = toy.worker(store)
    toy.ask(store, "look", toy.gadget(store))
    toy.fence(store, me)
    with pytest.raises(errors.LostLease):
        toy.claim(store, me)


def test_the_low_water_mark_hides_nothing_that_is_handed_on_or_given_back(store: Store) -> None:
    """A job that comes from another queue, or back from the dead, is older than what was claimed last."""
    around = toy.surroundings(store)
    me = around.worker()
    old = toy.ask(store, "look", toy.gadget(store), queue="scheduler")
    young = toy.ask(store, "look", toy.gadget(store))
    assert toy.only(me.claim({"normal": 1})).id == young
    scheduler = toy.worker(store, queues=("scheduler",))
    handed = toy.only(toy.claim(store, scheduler, queues=("scheduler",)))
    store.run("toy", lambda tx: hand_off(tx, handed, toy.REGISTRY, toy.QUEUE, {}))
    assert toy.only(me.claim({"normal": 1})).id == old


def test_the_low_water_mark_hides_no_other_class(store: Store) -> None:
    around = toy.surroundings(store)
    me = around.worker()
    waiting = toy.ask(store, "look", toy.gadget(store), job_class="long")
    toy.ask(store, "look", toy.gadget(store))
    assert len(me.claim({"normal": 1, "long": 0})) == 1
    assert toy.only(me.claim({"normal": 0, "long": 1})).id == waiting


def test_the_low_water_mark_is_below_all_that_wait(store: Store) -> None:
    around = toy.surroundings(store)
    me = around.worker()
    toy.flood(store, 5, project="a", state="done")
    now = store.read("now", lambda tx: tx.execute(sa.select(now_ms())).scalar_one())
    assert abs(me.wanted({"normal": 1}).low_ms - (now - claims.SLACK_MS)) < 5000
    toy.flood(store, 1, project="a", queued_ms=7)
    assert around.worker().wanted({"normal": 1}).low_ms == 0


def test_jobs_whose_claim_was_committed_unheard_are_taken_up(store: Store) -> None:
    """The database went away while the claim committed: the jobs are this worker's, and nobody else will ever run them."""
    around = toy.surroundings(store)
    me = around.worker()
    job_id = toy.ask(store, "look", toy.gadget(store))

    def away(point: str) -> None:
        if point == "jobs.claim.commit.after":
            raise errors.OutcomeUnknown

    with faults.hooked(away), pytest.raises(errors.OutcomeUnknown):
        me.claim({"normal": 1})
    assert toy.state(store, job_id) == "claimed"
    found = toy.only(me.claim({"normal": 1}))
    assert (found.id, found.epoch, len(found.lanes)) == (job_id, 1, 1)
    assert me.claim({"normal": 1}) == []
    me.perform(found)
    assert toy.state(store, job_id) == "done"


def test_suspects_are_for_lone_processes_only(store: Store) -> None:
    me, alone = toy.worker(store), toy.worker(store, solo=True)
    job_id = toy.ask(store, "look", toy.gadget(store))
    store.run("toy", lambda tx: tx.execute(sa.update(jobs).values(suspect=True)))
    assert toy.claim(store, me) == []
    wanted = Wanted((toy.QUEUE,), tuple(toy.REGISTRY.kinds().items()), {})
    taken = store.run("toy", lambda tx: claims.claim_suspect(tx, alone, job_id, wanted, toy.REGISTRY, toy.NOW))
    assert taken is not None
    assert taken.id == job_id
    assert store.run("toy", lambda tx: claims.claim_suspect(tx, alone, job_id, wanted, toy.REGISTRY, toy.NOW)) is None


def test_a_part_and_its_gadget_are_claimed_together(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    part_id, job_id = toy.make_part(store, gadget_id)
    job = toy.only(toy.claim(store, me))
    assert [lane.resource_id for lane in job.lanes] == [gadget_id, part_id]
    assert toy.row(store, gadgets, gadget_id)["running_job"] == toy.row(store, parts, part_id)["running_job"] == job_id
    assert job.tokens()[gadget_id].generation == 2
    assert job.tokens()[part_id].generation == 1

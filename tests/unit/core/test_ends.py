"""How jobs end, and what an end must leave alone."""

import uuid

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import work as work_module
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import job_lanes, jobs, messages
from tests.unit.core import toy
from tests.unit.core.toy import gadgets

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_abandoning_a_waiting_job_leaves_the_lane_to_its_holder(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    toy.ask(store, "look", gadget_id)
    held = toy.only(toy.claim(store, me))
    waiting = toy.ask(store, "look", gadget_id, expires_at_ms=1)
    assert toy.rescuer(store).pass_once().ended == [waiting]
    assert toy.row(store, gadgets, gadget_id)["running_job"] == held.id
    toy.finish(store, held)
    assert toy.state(store, held.id) == "done"


@pytest.mark.parametrize("error", [errors.Fenced(token="1.1.1", resource="g", seen="1.2.1"), errors.LostClaim(job="j", epoch=1)])
def test_a_job_that_is_refused_but_still_held_ends(store: Store, error: errors.Error) -> None:
    """The storage refuses its token, or a row is not as the job left it: nobody else will ever move it."""
    gadget_id, me = toy.gadget(store), toy.worker(store)
    job_id = toy.ask(store, "polish", gadget_id)
    work = toy.work_of(store, toy.only(toy.claim(store, me)))
    toy.with_registry(work, toy.with_run("polish", lambda *_: toy.throw(error)))
    work_module.perform(work)
    assert toy.state(store, job_id) == "failed"
    assert toy.row(store, gadgets, gadget_id)["status"] == "error"


def test_a_job_whose_resource_was_moved_by_hand_still_ends(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    job_id = toy.ask(store, "polish", gadget_id)
    work = toy.work_of(store, toy.only(toy.claim(store, me)))
    store.run("by hand", lambda tx: tx.execute(sa.update(gadgets).where(gadgets.c.id == gadget_id).values(status="idle")))
    work_module.perform(work)
    assert toy.state(store, job_id) == "failed"
    found = toy.row(store, gadgets, gadget_id)
    assert (found["status"], found["running_job"], found["live_jobs"]) == ("idle", None, 0)
    assert store.read("toy", lambda tx: tx.execute(sa.select(job_lanes)).all()) == []


def test_a_job_whose_undo_fails_still_ends(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    job_id = toy.ask(store, "polish", gadget_id)
    work = toy.work_of(store, toy.only(toy.claim(store, me)))
    broken = lambda *_: toy.throw(errors.CounterBroken(counter="c", change=-1))
    toy.with_registry(work, toy.with_run("polish", lambda *_: toy.throw(errors.DriverError(reason="no")), undo=broken))
    work_module.perform(work)
    assert toy.state(store, job_id) == "failed"
    assert toy.row(store, gadgets, gadget_id)["status"] == "error"
    assert len(store.read("toy", lambda tx: tx.execute(sa.select(messages)).all())) == 1


def test_one_job_that_cannot_be_abandoned_does_not_stop_the_rescue_of_others(store: Store) -> None:
    spoilt, sound = toy.gadget(store), toy.gadget(store)
    first = toy.ask(store, "look", spoilt, expires_at_ms=1)
    second = toy.ask(store, "look", sound, expires_at_ms=1)
    store.run("by hand", lambda tx: tx.execute(sa.delete(gadgets).where(gadgets.c.id == spoilt)))
    toy.rescuer(store).pass_once()
    assert (toy.state(store, first), toy.state(store, second)) == ("failed", "failed")


def test_unknown_jobs_at_the_head_do_not_hide_others(store: Store) -> None:
    """A binary ends only what it understands; what it does not understand must not fill its batches."""
    unknown = [toy.ask(store, "look", toy.gadget(store), expires_at_ms=1) for _ in range(3)]
    store.run("toy", lambda tx: tx.execute(sa.update(jobs).where(jobs.c.id.in_(unknown)).values(kind="gadgets.melt")))
    known = toy.ask(store, "look", toy.gadget(store), expires_at_ms=1)
    toy.rescuer(store, batch=3).pass_once()
    assert toy.state(store, known) == "failed"
    assert {toy.state(store, job_id) for job_id in unknown} == {"queued"}


def test_an_error_message_that_no_database_takes_is_made_fit(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    job_id = toy.ask(store, "polish", gadget_id)
    work = toy.work_of(store, toy.only(toy.claim(store, me)))
    toy.with_registry(work, toy.with_run("polish", lambda *_: toy.throw(errors.DriverError(reason="a\x00b\udcffc"))))
    work_module.perform(work)
    assert toy.state(store, job_id) == "failed"
    text = store.read("toy", lambda tx: tx.execute(sa.select(messages.c.text)).scalar_one())
    assert text == "Polish failed: The storage backend failed: a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


def test_a_busy_database_fails_no_job(store: Store) -> None:
    gadget_id, me = toy.gadget(store), toy.worker(store)
    job_id = toy.ask(store, "polish", gadget_id)
    work = toy.work_of(store, toy.only(toy.claim(store, me)))
    toy.with_registry(work, toy.with_run("polish", lambda *_: toy.throw(errors.DatabaseBusy())))
    with pytest.raises(errors.DatabaseBusy):
        work_module.perform(work)
    assert toy.state(store, job_id) == "claimed"


def test_a_refusal_leaves_nothing_behind(store: Store) -> None:
    job_id = str(uuid.uuid4())
    with pytest.raises(errors.Conflict):
        toy.ask(store, "polish", toy.gadget(store, "broken"), job_id=job_id)
    assert store.read("toy", lambda tx: tx.execute(sa.select(jobs)).all()) == []

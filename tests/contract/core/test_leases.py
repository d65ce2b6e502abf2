"""Leases on real databases: what a busy worker's own locks may never do, and what fences it (protocol rules R4 and R5)."""

import uuid

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import jobs as job_rules
from breezeblock.core import leases
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import workers
from tests.support.interleave import Step, interleaved
from tests.unit.core import toy

servers = pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)


def work_for_a_while(tx: Tx, worker_id: str) -> None:
    """What every claim, checkpoint and finish does first, and then something else."""
    job_rules.hold_worker(tx, worker_id)
    tx.execute(sa.select(sa.literal(1)))


@servers
def test_claims_and_finishes_that_never_cease_do_not_starve_the_beat(store: Store, database: str) -> None:
    """They share the worker's row; where one more can always join, a renewal would wait until the lease is over."""
    me = toy.worker(store)
    with interleaved(database, 3) as (first, beat, next_one):
        first.start(lambda tx: work_for_a_while(tx, me))
        assert first.step() is Step.DONE
        beat.start(lambda tx: leases.renew(tx, me, 0))
        renewed = beat.step()
        next_one.start(lambda tx: work_for_a_while(tx, me))
        joined = next_one.step()
        assert renewed is not Step.WAITS or joined is Step.WAITS, "the beat waits, and others pass it"
        first.finish()
        assert beat.finish() == 1
        next_one.finish()


@servers
def test_a_fence_waits_for_a_finish_under_way_and_refuses_the_next(store: Store, database: str) -> None:
    me = toy.worker(store)
    with interleaved(database) as (worker, rescuer):
        worker.start(lambda tx: work_for_a_while(tx, me))
        assert worker.step() is Step.DONE
        row = store.read("toy", lambda tx: tx.execute(sa.select(workers)).one())
        rescuer.start(lambda tx: leases.mark_fencing(tx, row))
        assert rescuer.step() is Step.WAITS
        worker.finish()
        assert rescuer.finish() is True
    with pytest.raises(errors.LostLease):
        store.run("toy", lambda tx: job_rules.hold_worker(tx, me))


def test_a_beat_that_rose_meanwhile_is_not_fenced(store: Store) -> None:
    """Live -> fencing is a compare-and-swap with the beat that was seen."""
    me = toy.worker(store)
    row = store.read("toy", lambda tx: tx.execute(sa.select(workers)).one())
    store.run("beat", lambda tx: leases.renew(tx, me, 0))
    assert store.run("fence", lambda tx: leases.mark_fencing(tx, row)) is False
    assert store.run("toy", lambda tx: job_rules.hold_worker(tx, me)) == 1


@pytest.mark.parametrize("state", ["fencing", "fenced", "gone"])
def test_a_worker_that_is_not_live_renews_nothing(store: Store, state: str) -> None:
    me = toy.worker(store)
    store.run("toy", lambda tx: tx.execute(sa.update(workers).values(state=state)))
    with pytest.raises(errors.LostLease):
        store.run("beat", lambda tx: leases.renew(tx, me, 0))


@pytest.mark.parametrize("beat", [1, 3, 9])
def test_a_beat_that_is_missing_means_lost_commits(store: Store, beat: int) -> None:
    me = toy.worker(store)
    store.run("toy", lambda tx: tx.execute(sa.update(workers).values(beat=2)))
    if beat == 1:
        assert store.run("beat", lambda tx: leases.renew(tx, me, beat)) == 3
        return
    with pytest.raises(errors.LostLease):
        store.run("beat", lambda tx: leases.renew(tx, me, beat))


def test_each_beat_says_which_server_took_it(store: Store) -> None:
    me = toy.worker(store)
    store.run("beat", lambda tx: leases.renew(tx, me, 0))
    row = store.read("toy", lambda tx: tx.execute(sa.select(workers)).one())
    assert row.database_node
    [seen] = store.read("toy", leases.live_rows)
    assert seen.seen_on == row.database_node


def test_nobody_renews_for_another(store: Store) -> None:
    toy.worker(store)
    with pytest.raises(errors.LostLease):
        store.run("beat", lambda tx: leases.renew(tx, str(uuid.uuid4()), 0))

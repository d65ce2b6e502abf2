"""The lease of one worker: when it may believe that it holds it (protocol rule R4)."""

import dataclasses
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import LeaseSettings
from breezeblock.core import leases
from breezeblock.core.leases import Lease, ProcessName
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import workers
from breezeblock.worker.beats import Beats
from tests.unit.core import toy

TIMES = LeaseSettings()


class Hand:
    """A lease on a virtual clock, whose every renewal ends as the test says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 100.0
        self.armed: float | None = None
        self.outcome = "acknowledged"
        self.takes = 0.0
        self.visible = {0: 100.0}
        """When each beat could first be seen by others."""
        self.lease = Lease(self._run, toy.worker(store), TIMES, lambda: self.now, self)
        self.lease.start(100.0)

    def arm(self, deadline: float) -> None:
        """The kernel timer's part."""
        self.armed = deadline

    def disarm(self) -> None:
        """The kernel timer's part."""
        self.armed = None

    def _run(self, work: Callable[[Tx], int]) -> int:
        self.now += self.takes
        if self.outcome == "lost":
            raise errors.DatabaseAway
        beat = self.store.run("renew", work)
        self.visible.setdefault(beat, self.now)
        self.now += self.takes
        if self.outcome == "unheard":
            raise errors.OutcomeUnknown
        return beat


@pytest.fixture
def hand(store: Store) -> Hand:
    return Hand(store)


sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@sqlite
def test_the_deadline_counts_from_before_the_renewal_was_sent(hand: Hand) -> None:
    hand.now, hand.takes = 103.0, 2.0
    hand.lease.renew()
    assert hand.lease.deadline == hand.armed == 103.0 + TIMES.lease_seconds
    assert hand.lease.remaining() == TIMES.lease_seconds - 4.0


@sqlite
@pytest.mark.parametrize("outcome", ["lost", "unheard"])
def test_a_renewal_of_unknown_outcome_extends_nothing(hand: Hand, outcome: str) -> None:
    hand.now, hand.outcome = 103.0, outcome
    with pytest.raises(errors.DatabaseAway):
        hand.lease.renew()
    assert hand.lease.deadline == hand.armed == 100.0 + TIMES.lease_seconds


@sqlite
def test_an_unheard_renewal_does_not_lend_its_beat_to_a_later_deadline(hand: Hand) -> None:
    """A rescuer has watched that beat since it was committed, and will fence lease + margin after that, whatever we believe."""
    hand.now, hand.outcome = 101.0, "unheard"
    with pytest.raises(errors.DatabaseAway):
        hand.lease.renew()
    hand.now, hand.outcome = 108.0, "acknowledged"
    hand.lease.renew()
    assert hand.lease.deadline <= hand.visible[hand.lease.beat] + TIMES.lease_seconds
    row = hand.store.read("toy", lambda tx: tx.execute(sa.select(workers.c.beat)).scalar_one())
    assert row == hand.lease.beat
    hand.now = 109.0
    hand.lease.renew()
    assert hand.lease.deadline == 109.0 + TIMES.lease_seconds


@sqlite
def test_a_fenced_worker_is_told(hand: Hand) -> None:
    toy.fence(hand.store, hand.lease.worker_id)
    told = threading.Event()
    beats = Beats(hand.lease, 0.001, lambda _: told.set())
    beats.start()
    assert told.wait(5)
    beats.stop()
    assert hand.armed == 100.0 + TIMES.lease_seconds


@sqlite
def test_beats_go_on_after_an_absence(hand: Hand) -> None:
    hand.outcome = "lost"
    beats = Beats(hand.lease, 0.001, lambda lost: pytest.fail(str(lost)))
    beats.start()
    hand.outcome = "acknowledged"
    deadline = threading.Event()
    while hand.lease.beat < 3 and not deadline.wait(0.002):
        pass
    beats.stop()
    assert hand.lease.deadline == hand.now + TIMES.lease_seconds


def test_a_process_is_named_so_that_no_other_ever_is() -> None:
    mine = leases.this_process()
    assert ProcessName.parse(str(mine)) == mine
    assert not leases.proven_dead(mine)
    nobody = dataclasses.replace(mine, pid=2**22 + 1)
    assert leases.proven_dead(nobody)
    assert leases.proven_dead(dataclasses.replace(mine, start_time=mine.start_time + 1))
    assert not leases.proven_dead(dataclasses.replace(nobody, boot_id="another"))
    assert not leases.proven_dead(dataclasses.replace(nobody, pid_namespace=1))


def test_a_process_never_kills_itself_nor_one_that_took_its_number() -> None:
    mine = leases.this_process()
    leases.kill(mine)
    leases.kill(ProcessName(mine.boot_id, mine.pid_namespace, 1, mine.start_time))


@sqlite
def test_serving_is_what_live_workers_say_who_take_any_job(store: Store) -> None:
    ask = lambda kind=None: store.read("toy", lambda tx: leases.serving(tx, toy.QUEUE, kind))
    alone = toy.worker(store, solo=True)
    assert not ask()
    me = toy.worker(store, kinds={"gadgets.look": 1})
    assert ask()
    assert ask("gadgets.look")
    assert not ask("gadgets.polish")
    toy.fence(store, me)
    assert not ask()
    toy.fence(store, alone)

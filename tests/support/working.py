"""Workers at work in threads of the test, for stories with many clients at once."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from breezeblock.store.tables.protocol import jobs
from breezeblock.worker.loop import Loop, Worker
from tests.support.world import SLOTS, World


class Hints:
    """Wakes every loop that waits, whenever any queue may have work."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._count = 0

    def wake(self, queues: frozenset[str]) -> None:
        with self._news:
            self._count += 1
            self._news.notify_all()

    def wait(self, seconds: float) -> None:
        with self._news:
            self._news.wait(min(seconds, 0.1))


@contextlib.contextmanager
def working(world: World) -> Iterator[None]:
    """Two loops for the scheduler's queue and two for the backend's, in threads, for as long as the block lasts."""
    hints, lost = Hints(), list[Any]()
    world.store.waker = hints.wake
    workers: list[Worker] = [world.scheduler, world.worker(("scheduler",)), world.volume, world.worker((world.backend.queue,))]
    loops = [Loop(worker, SLOTS, hints.wait, lost.append, lost.append) for worker in workers]
    threads = [threading.Thread(target=loop.run) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
        idle(world)
    finally:
        for loop in loops:
            assert loop.stop(20)
        hints.wake(frozenset())
        for thread in threads:
            thread.join(20)
    assert lost == [], "no lease was lost, and no job became a suspect"


def idle(world: World) -> None:
    """Wait until no job is left, at most half a minute."""
    unfinished = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(("queued", "claimed")))
    done = threading.Event()
    for _ in range(600):
        if world.store.read("unfinished", lambda tx: tx.execute(unfinished).scalar_one()) == 0:
            return
        done.wait(0.05)
    raise AssertionError("jobs are left")

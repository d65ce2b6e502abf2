"""The chapter in which the volume worker is killed with jobs in its hands, and nobody but the service itself does anything about it."""

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import sqlalchemy as sa

from breezeblock.cli.tour.stage import Off, Stage, await_
from breezeblock.core import leases
from breezeblock.core.leases import ProcessName
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import jobs, workers

EACH: Final = 6
"""Creates, clones and deletes of the batch, of each so many."""
CLIENTS: Final = 6
WANTED: Final = 3
"""Jobs in the worker's hands that make it worth to be killed."""
MOST_LOOKS: Final = 200
MOST_LATE: Final = 18
"""Further volumes that are asked for before one job in its hands is enough."""
LOOK_PAUSE: Final = 0.01
RESCUE_SECONDS: Final = 20.0
"""Within which everything must be in its final status; the default lease's own promise is 15."""


def rescue(stage: Stage) -> None:
    """Ask for a batch, kill the worker in its middle, watch."""
    snapshot = stage.snapshots.get("picture") or _picture(stage)
    doomed = [f"doomed-{number}" for number in range(EACH)]
    for path in [f"/volumes/{stage.create_volume(name)}" for name in doomed]:
        stage.await_status(path, "available")
    worker = _volume_worker(stage)
    pid = ProcessName.parse(worker.process).pid
    gone = [f"/volumes/{stage.volumes[name]}" for name in doomed]
    with ThreadPoolExecutor(CLIENTS, thread_name_prefix="client") as clients:
        asked = [clients.submit(stage.create_volume, f"clone-{number}", snapshot_id=snapshot) for number in range(EACH)]
        asked += [clients.submit(stage.create_volume, f"batch-{number}") for number in range(EACH)]
        asked += [clients.submit(stage.delete_volume, name) for name in doomed]
        busy = lambda: any(not each.done() for each in asked)  # noqa: E731
        held = _kill(stage, pid, worker.id, busy, lambda name: asked.append(clients.submit(stage.create_volume, name)))
        killed = time.monotonic()
        for each in asked:
            each.result()
    fresh = [f"/volumes/{id}" for name, id in stage.volumes.items() if name.startswith(("batch-", "clone-", "late-"))]
    stage.say(f"{CLIENTS} clients asked at once for {len(fresh) - EACH} new volumes, {EACH} clones and {EACH} deletions.")
    stage.say(f"kill -9 of the volume worker, process {pid}, in their midst: it had {counted(len(held))} in its hands.")
    await_(lambda: _state(stage, worker.id) == leases.FENCED, RESCUE_SECONDS, lambda: _stuck(stage, held))
    fenced = time.monotonic() - killed
    stage.say(f"The others noticed, and fenced it, {fenced:.1f} s after its death.")
    await_(lambda: stage.unfinished() == 0, RESCUE_SECONDS - fenced, lambda: _stuck(stage, held))
    seconds = time.monotonic() - killed
    again = stage.read("epochs", lambda tx: tx.execute(sa.select(jobs.c.id, jobs.c.epoch, jobs.c.state).where(jobs.c.id.in_(held))).all())
    stage.check(
        all(row.state == "done" and row.epoch > held[row.id] for row in again) and len(again) == len(held),
        f"What it had in its hands was taken over by other processes, with higher epochs, and is done ({counted(len(held))}).",
        f"jobs of the killed worker were not all done by somebody else: {[(row.state, row.epoch) for row in again]}",
    )
    wrong = [f"{path} is {found}" for path, found in _statuses(stage, fresh) if found != "available"]
    wrong += [f"{path} is {found}" for path, found in _statuses(stage, gone) if found != "gone"]
    stage.check(
        not wrong,
        f"The rescue took {seconds:.1f} s: every new volume is available, every deleted one is gone, and nobody had to help.",
        f"after the rescue {', '.join(wrong)}",
    )


def counted(number: int) -> str:
    """So many jobs, in words."""
    return f"{number} {'job' if number == 1 else 'jobs'}"


def _picture(stage: Stage) -> str:
    """A snapshot of an empty volume, for a tour that took none."""
    volume_id = stage.create_volume("base")
    stage.await_status(f"/volumes/{volume_id}", "available")
    snapshot_id = stage.create_snapshot("picture", volume_id)
    stage.await_status(f"/snapshots/{snapshot_id}", "available")
    return snapshot_id


def _volume_worker(stage: Stage) -> Any:
    """The row of the one volume worker that is not a lone process."""
    rows = [
        row for row in stage.read("workers", leases.live_rows) if not row.solo and any(each.startswith("volume:") for each in row.queues)
    ]
    if len(rows) != 1:
        raise Off(f"there should be one volume worker, and there are {len(rows)}")
    return rows[0]


def _kill(stage: Stage, pid: int, worker_id: str, busy: Callable[[], bool], ask_more: Callable[[str], object]) -> dict[str, int]:
    """Kill the worker at a moment at which it holds jobs, several if that can be had; their ids and epochs.

    It is stopped to look at what it holds, so that this is what it dies with. If that is too little, it goes on, and is given more
    when the clients are no longer ``busy``.
    """
    late = 0
    for _ in range(MOST_LOOKS):
        os.kill(pid, signal.SIGSTOP)
        held = stage.read("held", lambda tx: _held(tx, worker_id))
        if len(held) >= (WANTED if late < MOST_LATE else 1):
            os.kill(pid, signal.SIGKILL)
            return held
        os.kill(pid, signal.SIGCONT)
        if not busy() and late < 2 * MOST_LATE:
            for number in range(late, late + CLIENTS):
                ask_more(f"late-{number}")
            late += CLIENTS
        time.sleep(LOOK_PAUSE)
    raise Off(f"the volume worker held no job at any of {MOST_LOOKS} looks: the batch was never in its hands")


def _held(tx: Tx, worker_id: str) -> dict[str, int]:
    mine = sa.select(jobs.c.id, jobs.c.epoch).where(jobs.c.state == "claimed", jobs.c.owner == worker_id)
    return {row.id: row.epoch for row in tx.execute(mine)}


def _state(stage: Stage, worker_id: str) -> str:
    return str(stage.read("worker", lambda tx: tx.execute(sa.select(workers.c.state).where(workers.c.id == worker_id)).scalar_one()))


def _stuck(stage: Stage, held: Collection[str]) -> str:
    left = stage.unfinished()
    return (
        f"{counted(left)} unfinished {RESCUE_SECONDS:g} seconds after the volume worker was killed with {counted(len(held))} in its hands: "
        "nobody rescued them"
    )


def _statuses(stage: Stage, paths: Sequence[str]) -> list[tuple[str, str]]:
    return [(path, stage.status(path)) for path in paths]

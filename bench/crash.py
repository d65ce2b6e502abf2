"""Recovery: creates are in flight on two workers, one is killed and not restarted; how long until another has claimed each of its jobs.

The killed worker is in a PID namespace of its own unless ``--near`` is given, as on another host: nobody can see
that it is dead, and its beat must be watched for lease + margin. The service is started here, so that this knows whom to kill.
"""

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.client import Client, parallel, parser, percentile
from bench.service import Running, second_worker, service
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import jobs, workers
from tests.support.servers import free_port

LOOK_SECONDS = 0.02
FAR = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
TAG = "crash-"


def recovery(running: Running, url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Kill one of two workers when ``options.n`` creates are in flight."""
    store = Store(url, name="bench")
    given = parser("").parse_args(["--base", running.base])
    before = _live(store)
    try:
        with second_worker(running, () if options.near else FAR) as started:
            victim = _until(lambda: _live(store) - before, 30).pop()
            results, _ = parallel(given, 8, range(options.n), lambda client, number: client.create(f"{TAG}{number}"))
            wanted = min(options.n, 2 * options.slots)
            _until(lambda: _claimed(store) >= wanted, 60)
            held = _held(store, victim)
            killed = time.perf_counter()
            os.kill(started, signal.SIGKILL)
            times = _reclaimed(store, held, killed, 120)
            _, counts = Client(given).wait_while(TAG, ["creating"], timeout=300)
    finally:
        store.dispose()
    return {
        "accepted": sum(status == 202 for status, _, _ in results),
        "held_by_the_killed": len(held),
        "reclaimed": len(times),
        "reclaim_p50_s": round(percentile(times, 50), 2),
        "reclaim_p99_s": round(percentile(times, 99), 2),
        "all_ended_s": round(time.perf_counter() - killed, 1),
        "stuck": counts.get("creating", 0),
        "in_error": counts.get("error", 0),
        "available": counts.get("available", 0),
    }


def _live(store: Store) -> set[str]:
    query = sa.select(workers.c.id).where(workers.c.state == "live", workers.c.solo.is_(sa.false()))
    return set(store.read("bench.live", lambda tx: tx.execute(query).scalars().all()))


def _claimed(store: Store) -> int:
    """Creates that a volume worker runs now."""
    query = sa.select(sa.func.count()).where(jobs.c.state == "claimed", jobs.c.queue != "scheduler")
    return int(store.read("bench.claimed", lambda tx: tx.execute(query).scalar_one()))


def _held(store: Store, worker_id: str) -> dict[str, int]:
    """The jobs of one worker, with their epochs."""
    query = sa.select(jobs.c.id, jobs.c.epoch).where(jobs.c.state == "claimed", jobs.c.owner == worker_id)
    return {row.id: row.epoch for row in store.read("bench.held", lambda tx: tx.execute(query).all())}


def _reclaimed(store: Store, held: dict[str, int], since: float, seconds: float) -> list[float]:
    """Seconds from ``since`` until each job was claimed anew; those that were not are left out."""
    waiting, times = dict(held), []
    query = sa.select(jobs.c.id, jobs.c.epoch).where(jobs.c.id.in_(sorted(held)))
    while waiting and time.perf_counter() - since < seconds:
        rows = store.read("bench.epochs", lambda tx: tx.execute(query).all())
        for row in rows:
            if row.id in waiting and row.epoch > waiting[row.id]:
                del waiting[row.id]
                times.append(time.perf_counter() - since)
        time.sleep(LOOK_SECONDS)
    return times


def _until(look: Any, seconds: float) -> Any:
    end = time.perf_counter() + seconds
    while not (found := look()):
        if time.perf_counter() > end:
            raise SystemExit("the service did not get ready for the kill in time")
        time.sleep(LOOK_SECONDS)
    return found


def main() -> None:
    """Measure on SQLite, or on the database of ``--url``; JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--n", type=int, default=100, help="creates in flight")
    arguments.add_argument("--slots", type=int, default=50, help="jobs that one worker runs at once")
    arguments.add_argument("--latency", type=float, default=10.0, help="seconds that one create takes")
    arguments.add_argument("--near", action="store_true", help="the rescuers can see that the process is dead")
    arguments.add_argument("--url", help="of an empty database")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        url = given.url or f"sqlite:///{name}/bench.sqlite"
        with service(url, Path(name) / "state", free_port(), latency=given.latency, slots=given.slots) as running:
            print(json.dumps(recovery(running, url, given), indent=1))


if __name__ == "__main__":
    main()

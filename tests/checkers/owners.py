"""Invariant: one live owner per job at an epoch, epochs only rise, and what has ended stays ended.

It needs a memory, so it is an object: :meth:`Owners.problems` is called between steps, and compares with what it saw before.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import jobs, workers

ENDED = ("done", "failed", "cancelled")
_LOOK = sa.select(jobs.c.id, jobs.c.state, jobs.c.owner, jobs.c.epoch, jobs.c.kind)


class Owners:
    """What was seen of each job so far."""

    def __init__(self) -> None:
        self._last: dict[str, Mapping[str, Any]] = {}
        self._holders: dict[tuple[str, int], str] = {}

    def problems(self, store: Store) -> list[str]:
        """Every job that went where no job can go since the last look."""
        found: list[str] = []
        for row in store.read("checkers.owners", lambda tx: tx.rows(_LOOK)):
            found += self._compare(row)
            self._last[row["id"]] = row
        return found

    def _compare(self, row: Mapping[str, Any]) -> Iterable[str]:
        name, last = f"job {row['id']} {row['kind']}", self._last.get(row["id"])
        if row["state"] == "claimed" and row["owner"] is None:
            yield f"{name} is claimed by nobody"
        if row["state"] == "claimed" and row["epoch"] < 1:
            yield f"{name} is claimed at epoch {row['epoch']}"
        if row["owner"] is not None:
            holder = self._holders.setdefault((row["id"], row["epoch"]), row["owner"])
            if holder != row["owner"]:
                yield f"{name} had two owners at epoch {row['epoch']}: {holder} and {row['owner']}"
        if last is None:
            return
        if row["epoch"] < last["epoch"]:
            yield f"{name} fell from epoch {last['epoch']} to {row['epoch']}"
        if last["state"] in ENDED and row["state"] != last["state"]:
            yield f"{name} was {last['state']} and is {row['state']}"


def unrescued(store: Store) -> list[str]:
    """Jobs that a worker which is not live holds; there are none once rescue has passed."""
    live = sa.select(workers.c.id).where(workers.c.state == "live")
    dead = sa.select(jobs.c.id, jobs.c.kind, jobs.c.owner).where(jobs.c.state == "claimed", jobs.c.owner.not_in(live))
    rows = store.read("checkers.unrescued", lambda tx: tx.execute(dead).all())
    return [f"job {row.id} {row.kind} is held by {row.owner}, which is not live" for row in rows]

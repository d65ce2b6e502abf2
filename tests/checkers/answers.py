"""Invariant: every accepted request reached a final status, or left a message for its owner."""

from collections.abc import Iterable

import sqlalchemy as sa

from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import jobs, messages

UNFINISHED = ("queued", "claimed")


def problems(store: Store, accepted: Iterable[str] = (), *, healed: bool = True) -> list[str]:
    """What was lost: an accepted job without a row, an unfinished one (once ``healed``), a failure that nobody was told of."""
    told = sa.exists().where(messages.c.resource_id == jobs.c.resource_id, messages.c.request_id == jobs.c.request_id)
    rows = store.read("checkers.answers", lambda tx: tx.execute(sa.select(jobs.c.id, jobs.c.kind, jobs.c.state, told.label("told"))).all())
    found = [f"job {job_id} was accepted, and is lost" for job_id in set(accepted) - {row.id for row in rows}]
    for row in rows:
        if healed and row.state in UNFINISHED:
            found.append(f"job {row.id} {row.kind} is still {row.state}")
        if row.state == "failed" and not row.told:
            found.append(f"job {row.id} {row.kind} failed without a message")
    return found

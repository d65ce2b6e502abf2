"""An operator's word against the protocol's: a status set by hand, and the jobs that it contradicts cancelled with it.

One transaction (protocol rule R3). The jobs' rows come first, as everywhere (rule R9), so the resource's row cannot be
locked before them; that no job began in between is what the generation says, which every job raises when it begins (rule R2).
"""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from breezeblock.core import events
from breezeblock.core.jobs import Cancelled, cancel_all, generation_of
from breezeblock.core.requests import Request
from breezeblock.core.transitions import Again, Change, Refused, apply


def override(req: Request, verb: str, row: Mapping[str, Any], change: Change) -> Cancelled:
    """Make ``change``, a status among its values, whatever the status was; ``row`` is for the record, as it was read before.

    The caller hands what was cancelled to :func:`breezeblock.core.jobs.give_back` after its last write of a resource. Raises
    Again when a job began meanwhile, and Refused when a guard of the change does not hold: both roll everything back.
    """
    now = req.clock.utcnow()
    cancelled = cancel_all(req.tx, change.table, change.id, req.registry, now)
    values = {"previous_status": None, "updated_at": now, **change.values}
    try:
        apply(req.tx, verb, dataclasses.replace(change, values=values, guards=(*change.guards, cancelled.guard)))
    except Refused:
        if generation_of(req.tx, change.table, change.id) not in (cancelled.generation, None):
            raise Again from None
        raise
    _record(req, verb, row, change, now)
    return cancelled


def _record(req: Request, verb: str, row: Mapping[str, Any], change: Change, now: datetime.datetime) -> None:
    events.record(
        req.tx,
        at=now,
        resource_type=change.table.name,
        resource_id=change.id,
        project_id=row["project_id"],
        action=verb,
        from_status=row["status"],
        to_status=change.values["status"],
        request_id=req.request_id,
        detail=f"by {req.caller.user_id}",
    )

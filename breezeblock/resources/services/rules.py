"""Services: what a starting worker registers, who is alive, and what an operator switched off.

Whether a service is up is read from the workers' rows, which rescue moves by observed beats (protocol rule R5);
no timestamp decides it.
"""

import datetime
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Request
from breezeblock.resources.services.table import services
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import workers
from breezeblock.store.upsert import insert_missing

SCHEDULER = "cinder-scheduler"
VOLUME = "cinder-volume"
LIVE = "live"

WHICH = Body(None, {"host": fields.text(255, shortest=1).but(required=True), "binary": fields.TEXT, "service": fields.TEXT})
"""How requests name a service; ``service`` is the binary's older name."""

Serving = tuple[str, str]
"""A host's name, and a queue that one of its live workers takes jobs from."""


def register(
    tx: Tx, *, binary: str, host: str, queue: str, availability_zone: str, worker_id: str, service_uuid: str, now: datetime.datetime
) -> None:
    """A worker that starts says what it serves: ``binary`` at ``host`` (host, or host@backend).

    ``service_uuid`` is used the first time only. An operator's disable outlives every restart.
    """
    current = {"queue": queue, "availability_zone": availability_zone, "worker_id": worker_id, "updated_at": now}
    known = sa.update(services).where(services.c.binary == binary, services.c.host == host).values(current)
    if tx.execute(known).rowcount == 1:
        return
    row = {**current, "binary": binary, "host": host, "uuid": service_uuid, "disabled": False, "created_at": now, "updated_at": None}
    tx.execute(insert_missing(tx, services, row, unique="host"))
    tx.execute(known)


def switch(req: Request, *, disabled: bool, reason: str | None) -> tuple[str, str]:
    """Enable or disable the service that the body names; returns its host and binary. Raises errors.Invalid and errors.NotFound."""
    host, binary = req.body["host"], req.body.get("binary") or req.body.get("service")
    if not binary:
        raise errors.Invalid(reason="Invalid input: the body lacks the required field 'binary'.")
    one = sa.update(services).where(services.c.host == host, services.c.binary == binary)
    values = {"disabled": disabled, "disabled_reason": reason, "updated_at": req.clock.utcnow()}
    if req.tx.execute(one.values(values)).rowcount != 1:
        raise errors.NotFound(kind="Service", id=f"{binary} on {host}")
    return host, binary


def serving(tx: Tx) -> Collection[Serving]:
    """Everything that live workers serve; a handful of rows."""
    rows = tx.execute(sa.select(workers.c.host, workers.c.queues).where(workers.c.state == LIVE)).all()
    return {(row.host, queue) for row in rows for queue in row.queues}


def is_up(service: Mapping[str, Any], alive: Collection[Serving]) -> bool:
    """Whether a live worker of the service's own host serves its queue."""
    return (service["host"].partition("@")[0], service["queue"]) in alive

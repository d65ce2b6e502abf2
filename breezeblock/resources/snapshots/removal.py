"""How a snapshot goes away: what delete and force_delete share. Must never leave a counter of what it removes."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.core.requests import Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import Change, NewJob, Transition, begin
from breezeblock.core.work import Work
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots import rules
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx


class Deletion(Payload, frozen=True):
    """The volume that counts the snapshot."""

    volume_id: str


def remove(req: Request, verb: Verb, transition: Transition, snapshot: Mapping[str, Any]) -> None:
    """Begin the deletion, in the queue of the volume's backend."""
    volume = req.tx.row(sa.select(volumes).where(volumes.c.id == snapshot["volume_id"]))
    assert volume is not None, "a volume with snapshots is not deleted"
    deletion = Deletion(volume_id=volume["id"])
    job = NewJob.of(req, verb, deletion, volume_rules.queue_of(volume), project_id=snapshot["project_id"])
    begin(req.tx, transition, snapshot["id"], job, version=req.version, now=req.clock.utcnow())


def erase(work: Work, deletion: Deletion) -> None:
    """What is gone already is no error; the row, its count on the volume and its quota go together."""
    snapshot = work.own()
    work.driver.delete_snapshot(work.call, snapshot["id"], snapshot["handle"])
    uncounted = Change(volumes, deletion.volume_id, {"snapshots": volumes.c.snapshots - 1})

    def last(tx: Tx) -> None:
        quotas.give_back(tx, snapshot["project_id"], rules.counted(snapshot))

    work.finish(also=(uncounted,), last=last)

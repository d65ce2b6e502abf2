"""Delete a volume, alone or with its snapshots.

available, error* --request--> deleting --done--> (gone)
                               deleting --fail--> error_deleting
"""

from collections.abc import Mapping, Sequence
from typing import Any

from breezeblock.core import fields
from breezeblock.core.bodies import Query
from breezeblock.core.jobs import JobRow
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import Change, End, Guard, NewJob, Transition, begin
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots import rules as snapshot_rules
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler import capacity
from breezeblock.store.engine import Tx

QUERY = Query({"cascade": fields.BOOLEAN, "force": fields.BOOLEAN.but(since=V.DELETE_FORCE)})

NO_SNAPSHOTS = Guard("snapshots", 0, "it has {value} snapshots; delete them first, or ask for cascade")
NO_GROUP = Guard("group_id", None, "it belongs to the group {value}")

DELETE = Transition(
    "volumes.delete",
    volumes,
    via=states.DELETING,
    done=End.DELETED,
    failed=states.ERROR_DELETING,
    allowed=dict.fromkeys(
        (states.AVAILABLE, states.ERROR, states.ERROR_RESTORING, states.ERROR_EXTENDING, states.ERROR_MANAGING, states.ERROR_DELETING),
        V.BASE,
    ),
    guards=(rules.NOT_ATTACHED, rules.NOT_MIGRATING, NO_GROUP, *rules.UNUSED),
)


class Deletion(Payload, frozen=True):
    """The snapshots that go with it; their rows are already ``deleting``, under lanes of this job."""

    snapshot_ids: list[str]


def request(req: Request, volume_id: str) -> Answer:
    """Move the volume, and with ``cascade`` its snapshots, to ``deleting`` in one transaction."""
    force = bool(req.params.get("force"))
    volume = rules.find(req, volume_id, "volume:force_delete" if force else "volume:delete")
    doomed = snapshot_rules.doomed(req, volume_id) if req.params.get("cascade") else []
    count = Guard("snapshots", len(doomed), NO_SNAPSHOTS.reason)
    job = NewJob.of(req, VERB, Deletion(snapshot_ids=[change.id for change in doomed]), rules.queue_of(volume))
    begin(req.tx, DELETE, volume_id, job, version=req.version, now=req.clock.utcnow(), guards=(count,), also=doomed)
    return Answer(202)


def schedule(work: Work, deletion: Deletion) -> None:
    """A volume that never got a pool has nothing on any backend."""
    _finish(work, work.own(), [])


def run(work: Work, deletion: Deletion) -> None:
    """Snapshots first, then the volume; what is gone already is no error."""
    volume = work.own()
    found = (work.row(snapshots, snapshot_id) for snapshot_id in deletion.snapshot_ids)
    doomed = [row for row in found if row is not None]
    for snapshot in doomed:
        work.driver.delete_snapshot(work.call, snapshot["id"], snapshot["handle"])
    work.driver.delete(work.call, volume["id"], volume["handle"])
    work.exports.forget(work.call, volume["id"])
    _finish(work, volume, doomed)


def _finish(work: Work, volume: Mapping[str, Any], doomed: Sequence[Mapping[str, Any]]) -> None:
    gone = [Change(snapshots, snapshot["id"], remove=True) for snapshot in doomed]

    def last(tx: Tx) -> None:
        freed = quotas.together(rules.counted(volume), *(snapshot_rules.counted(snapshot) for snapshot in doomed))
        if volume["pool_id"] is not None:
            capacity.release(tx, volume["pool_id"], volume["size_gib"])
        quotas.give_back(tx, volume["project_id"], freed)

    work.finish(also=gone, last=last)


def undo(tx: Tx, job: JobRow, deletion: Deletion) -> None:
    """Snapshots that went along are in error too, and can be deleted again."""
    if deletion.snapshot_ids:
        snapshot_rules.mark_error_deleting(tx, deletion.snapshot_ids)


VERB = Verb(DELETE, Deletion, run, schedule=schedule, undo=undo)

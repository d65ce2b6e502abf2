"""Revert a volume to its latest snapshot (since REVERT).

available --request--> reverting --done--> available
                       reverting --fail--> error
The snapshot is restoring meanwhile, and available again after it, whatever came of it.
"""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.jobs import JobRow
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import Change, Guard, NewJob, Transition, begin
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.snapshots import rules as snapshot_rules
from breezeblock.resources.snapshots import states as snapshot_states
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx

BODY = Body("revert", {"snapshot_id": fields.UUID.but(required=True)})

REVERT = Transition(
    "volumes.revert",
    volumes,
    via=states.REVERTING,
    done=states.AVAILABLE,
    failed=states.ERROR,
    allowed={states.AVAILABLE: V.REVERT},
    guards=(rules.NOT_ATTACHED, rules.NOT_MIGRATING),
)
SNAPSHOT = (
    Guard("status", snapshot_states.AVAILABLE, "the snapshot's status is '{value}', and must be available"),
    Guard("live_jobs", 0, "other work on the snapshot is under way ({value})"),
)


class Reversion(Payload, frozen=True):
    """The snapshot, whose lane the job holds too."""

    snapshot_id: str


def request(req: Request, volume_id: str) -> Answer:
    """Hold the lanes of both. The volume's row is locked first: whoever makes a newer snapshot must change it too."""
    volume = rules.find(req, volume_id, "volume:revert_to_snapshot", lock=True)
    snapshot_id = req.body["snapshot_id"]
    snapshot = snapshot_rules.find(req, snapshot_id, "volume:get_snapshot")
    newest = sa.select(snapshots.c.id).where(snapshots.c.volume_id == volume_id)
    newest = newest.order_by(snapshots.c.created_at.desc(), snapshots.c.id.desc()).limit(1)
    if req.tx.execute(newest).scalar_one_or_none() != snapshot_id:
        raise errors.Invalid(reason=f"Snapshot {snapshot_id} is not the latest of volume {volume_id}; only to that one can it be reverted.")
    if snapshot["size_gib"] != volume["size_gib"]:
        raise errors.Invalid(
            reason=f"Volume {volume_id} has {volume['size_gib']} GiB and its snapshot {snapshot['size_gib']} GiB; "
            "a volume that was extended since its snapshot cannot be reverted."
        )
    restoring = {"previous_status": snapshots.c.status, "status": snapshot_states.RESTORING}
    also = Change(snapshots, snapshot_id, restoring, SNAPSHOT, lane="hold")
    job = NewJob.of(req, VERB, Reversion(snapshot_id=snapshot_id), rules.queue_of(volume), project_id=volume["project_id"])
    begin(req.tx, REVERT, volume_id, job, version=req.version, now=req.clock.utcnow(), also=(also,))
    return Answer(202)


def run(work: Work, reversion: Reversion) -> None:
    """Make a private object with the snapshot's bytes; the finish puts it in the place of the old one, which is collected."""
    volume, snapshot = work.own(), work.row(snapshots, reversion.snapshot_id)
    assert snapshot is not None, "the lane of the snapshot keeps it"
    handle = work.driver.revert(work.call, volume["id"], volume["handle"], snapshot["handle"], volume["size_gib"])
    restored = Change(snapshots, snapshot["id"], {"status": snapshot_states.AVAILABLE, "previous_status": None})
    work.finish({"handle": handle}, also=(restored,))


def undo(tx: Tx, job: JobRow, reversion: Reversion) -> None:
    """The snapshot was only read."""
    mine = (snapshots.c.id == reversion.snapshot_id, snapshots.c.status == snapshot_states.RESTORING)
    tx.execute(sa.update(snapshots).where(*mine).values(status=snapshot_states.AVAILABLE, previous_status=None))


VERB = Verb(REVERT, Reversion, run, undo=undo)

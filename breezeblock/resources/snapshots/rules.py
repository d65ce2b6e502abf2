"""What the verbs of snapshots, and of volumes that hang on snapshots, have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.requests import Request
from breezeblock.core.transitions import Change, Guard
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots import states
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.store.conditional import Not
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_update
from breezeblock.store.tables.protocol import job_lanes, jobs

NO_GROUP = Guard("group_snapshot_id", None, "it belongs to the group snapshot {value}")
HAS_BYTES = Guard("handle", Not(None), "nothing of it is on any backend; delete it instead")
UNUSED = (
    Guard("live_jobs", 0, "other work on it is under way ({value})"),
    Guard("pins", 0, "volumes are being made from it ({value})"),
)
"""Nobody works on it and nobody reads it."""


def find(req: Request, snapshot_id: str, rule: str, *, lock: bool = False) -> Mapping[str, Any]:
    """The snapshot's row, for a caller who may do ``rule`` to it; with ``lock`` nobody else changes it before the commit.

    Raises NotFound when the caller may see none, and Forbidden.
    """
    wanted = sa.select(snapshots).where(snapshots.c.id == snapshot_id)
    row = req.tx.row(for_update(wanted) if lock else wanted)
    if row is None or not (row["project_id"] == req.caller.project_id or req.caller.is_admin):
        raise errors.NotFound(kind="Snapshot", id=snapshot_id)
    req.authorize(rule, row)
    return row


def overridable(req: Request, snapshot_id: str, rule: str) -> Mapping[str, Any]:
    """The snapshot's row, for a caller who overrides its status by ``rule``.

    Raises as :func:`find` does, and Conflict while the status is another resource's business: a volume that takes the snapshot along
    when it goes, or is being reverted to it.
    """
    row = find(req, snapshot_id, rule)
    held = sa.select(jobs.c.kind, jobs.c.resource_id).join_from(job_lanes, jobs, jobs.c.id == job_lanes.c.job_id)
    others = (job_lanes.c.resource_id == snapshot_id, job_lanes.c.shared.is_(sa.false()), jobs.c.resource_id != snapshot_id)
    other = req.tx.execute(held.where(*others).limit(1)).one_or_none()
    if other is not None:
        reason = f"it belongs to {other.kind.replace('.', ' ')} of {other.resource_id}, which must end first, or be overridden there"
        raise errors.ConflictAsInvalid(verb="Override", kind="snapshot", id=snapshot_id, reasons=reason)
    return row


def doomed(req: Request, volume_id: str) -> list[Change]:
    """The changes that take all snapshots of a volume along into its deletion, each under its own guards."""
    found = req.tx.rows(sa.select(snapshots).where(snapshots.c.volume_id == volume_id).order_by(snapshots.c.id))
    for row in found:
        req.authorize("volume:delete_snapshot", row)
    deletable = Guard("status", states.DELETABLE, "its status is '{value}', and must be " + " or ".join(states.DELETABLE))
    values = {"previous_status": snapshots.c.status, "status": states.DELETING}
    return [Change(snapshots, row["id"], values, (deletable, NO_GROUP, *UNUSED), lane="hold") for row in found]


def mark_error_deleting(tx: Tx, snapshot_ids: Sequence[str]) -> None:
    """Their volume's deletion failed: they can be deleted again."""
    mine = (snapshots.c.id.in_(snapshot_ids), snapshots.c.status == states.DELETING)
    tx.execute(sa.update(snapshots).where(*mine).values(status=states.ERROR_DELETING, previous_status=None))


def counted(snapshot: Mapping[str, Any]) -> dict[str, int]:
    """What the snapshot's row counts against its project's quota."""
    return quotas.of_snapshot(
        snapshot["size_gib"],
        snapshot["volume_type_id"],
        counts_gib=snapshot["counts_gib"],
        consumes_quota=snapshot["consumes_quota"],
    )

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
from breezeblock.store.engine import Tx

DELETABLE = (states.AVAILABLE, states.ERROR, states.ERROR_DELETING)


def find(req: Request, snapshot_id: str, rule: str) -> Mapping[str, Any]:
    """The snapshot's row, for a caller who may do ``rule`` to it. Raises NotFound when the caller may see none, and Forbidden."""
    row = req.tx.row(sa.select(snapshots).where(snapshots.c.id == snapshot_id))
    if row is None or not (row["project_id"] == req.caller.project_id or req.caller.is_admin):
        raise errors.NotFound(kind="Snapshot", id=snapshot_id)
    req.authorize(rule, row)
    return row


def doomed(req: Request, volume_id: str) -> list[Change]:
    """The changes that take all snapshots of a volume along into its deletion, each under its own guards."""
    found = req.tx.rows(sa.select(snapshots).where(snapshots.c.volume_id == volume_id).order_by(snapshots.c.id))
    for row in found:
        req.authorize("volume:delete_snapshot", row)
    guards = (
        Guard("status", DELETABLE, "its snapshot's status is '{value}', and must be " + " or ".join(DELETABLE)),
        Guard("group_snapshot_id", None, "its snapshot belongs to the group snapshot {value}"),
        Guard("live_jobs", 0, "{value} operations on its snapshot are under way"),
        Guard("pins", 0, "{value} operations are reading its snapshot"),
    )
    values = {"previous_status": snapshots.c.status, "status": states.DELETING}
    return [Change(snapshots, row["id"], values, guards, lane="hold") for row in found]


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

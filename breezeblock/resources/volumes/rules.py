"""What the verbs of volumes, and of what hangs on volumes, have in common."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.requests import Request
from breezeblock.core.transitions import Guard
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import states
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx
from breezeblock.store.sql import for_update

UNUSED = (
    Guard("live_jobs", 0, "other work on it is under way ({value})"),
    Guard("pins", 0, "it is being read ({value})"),
)
"""Nobody works on it and nobody reads it."""

NOT_MIGRATING = Guard("migration_status", (None, "deleting", "error", "success"), "its migration is '{value}'")
NOT_ATTACHED = Guard("attachments", 0, "it has attachments ({value}); detach it first")
NO_GROUP = Guard("group_id", None, "it belongs to the group {value}")


def find(req: Request, volume_id: str, rule: str, *, lock: bool = False) -> Mapping[str, Any]:
    """The volume's row, for a caller who may do ``rule`` to it; with ``lock`` nobody else changes it before the commit.

    Raises NotFound when there is none that the caller may see, so that other projects' ids cannot be probed, and Forbidden.
    """
    wanted = sa.select(volumes).where(volumes.c.id == volume_id)
    row = req.tx.row(for_update(wanted) if lock else wanted)
    if row is None or not (row["project_id"] == req.caller.project_id or req.caller.is_admin):
        raise errors.NotFound(kind="Volume", id=volume_id)
    req.authorize(rule, row)
    return row


def changeable(req: Request, volume_id: str, rule: str) -> Mapping[str, Any]:
    """The locked row, for a change that needs no job; it reads and writes in one go, so the lock is its compare-and-swap.

    Raises NotFound, Forbidden, and Conflict while an operator keeps the volume in maintenance.
    """
    row = find(req, volume_id, rule, lock=True)
    if row["status"] == states.MAINTENANCE:
        raise errors.ConflictAsInvalid(verb="Update", kind="volume", id=volume_id, reasons="it is under maintenance")
    return row


def queue_of(row: Mapping[str, Any]) -> str:
    """The queue whose workers serve the volume's backend. A volume without a pool is nobody's: the scheduler answers for it."""
    owner = row["cluster_name"] or (row["pool_id"] or "").partition("#")[0]
    return f"volume:{owner}" if owner else "scheduler"


def counted(volume: Mapping[str, Any]) -> dict[str, int]:
    """What the volume's row counts against its project's quota."""
    return quotas.of_volume(volume["size_gib"], volume["volume_type_id"], consumes_quota=volume["consumes_quota"])


def handles(tx: Tx, service_host: str) -> Collection[Mapping[str, Any]]:
    """The handles of all volumes and snapshots on the backend ``host@backend``: what its collector must keep.

    One statement, so one instant: a file can pass from a volume to a snapshot or back between two.
    """
    here = volumes.c.pool_id.startswith(f"{service_host}#", autoescape=True)
    own = sa.select(volumes.c.handle).where(here, volumes.c.handle.is_not(sa.null()))
    theirs = (
        sa.select(snapshots.c.handle)
        .join_from(snapshots, volumes, volumes.c.id == snapshots.c.volume_id)
        .where(here, snapshots.c.handle.is_not(sa.null()))
    )
    return [handle for handle in tx.execute(sa.union_all(own, theirs)).scalars() if handle]

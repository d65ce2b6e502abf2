"""What the verbs of attachments have in common: who sees one, and what a volume's status follows from.

A volume counts its attachments on its own row (all, connecting, attached), so that every guard and every new status
is decided by the row that is being changed (docs/explanation/guards.md).
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.requests import Request
from breezeblock.core.secrets import Secrets, open_secrets
from breezeblock.resources.attachments import states
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

HELD: Final = (
    volume_states.AVAILABLE,
    volume_states.RESERVED,
    volume_states.ATTACHING,
    volume_states.IN_USE,
    volume_states.DETACHING,
)
"""The statuses that say nothing but how a volume is attached."""


def find(req: Request, attachment_id: str, rule: str) -> Mapping[str, Any]:
    """The attachment's row, for a caller who may do ``rule`` to it. Raises NotFound when the caller may see none, and Forbidden."""
    row = req.tx.row(sa.select(attachments).where(attachments.c.id == attachment_id))
    if row is None or not (row["project_id"] == req.caller.project_id or req.caller.is_admin):
        raise errors.NotFound(kind="Attachment", id=attachment_id)
    req.authorize(rule, row)
    return row


@functools.cache
def secrets_of(state_path: Path) -> Secrets:
    """The keys of this state directory, read once per process."""
    return open_secrets(state_path)


def counted(*, more: int = 0, connecting: int = 0, attached: int = 0) -> dict[str, Any]:
    """The changes of a volume's row when its attachments change by these numbers: its counters and the statuses that follow."""
    total = volumes.c.attachments + more
    in_hand = volumes.c.attaching + connecting
    ready = volumes.c.attached + attached
    status = sa.case(
        (ready > 0, volume_states.IN_USE),
        (in_hand > 0, volume_states.ATTACHING),
        (total > 0, volume_states.RESERVED),
        else_=volume_states.AVAILABLE,
    )
    attach_status = sa.case(
        (ready > 0, states.ATTACHED), (in_hand > 0, states.ATTACHING), (total > 0, states.RESERVED), else_=states.DETACHED
    )
    return {
        "attachments": total,
        "attaching": in_hand,
        "attached": ready,
        "attach_status": attach_status,
        "status": sa.case((volumes.c.status.in_(HELD), status), else_=volumes.c.status),
        "previous_status": sa.case((volumes.c.previous_status.in_(HELD), status), else_=volumes.c.previous_status),
    }


def without(row: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a volume's row when the attachment ``row`` goes."""
    connecting = row["attach_status"] == states.ATTACHING
    attached = row["attach_status"] in {states.ATTACHED, states.DETACHING, states.ERROR_DETACHING}
    return counted(more=-1, connecting=-int(connecting), attached=-int(attached))


def legacy_of(req: Request, volume_id: str, host: str | None) -> Mapping[str, Any] | None:
    """The attachment of the older actions for a host; one that is not connected yet, or any when no host is named."""
    mine = (attachments.c.volume_id == volume_id, attachments.c.legacy.is_(sa.true()))
    rows = req.tx.rows(sa.select(attachments).where(*mine).order_by(attachments.c.created_at, attachments.c.id))
    if host is None:
        return rows[0] if rows else None
    of_host = (row for row in rows if row["attached_host"] == host or (row["connector"] or {}).get("host") == host)
    return next(of_host, None)

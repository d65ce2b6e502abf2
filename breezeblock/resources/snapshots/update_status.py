"""Report on a snapshot that a hypervisor takes or deletes: the older name of such reports, by which Nova tells its progress.

creating --request--> creating, available or error
deleting --request--> deleting or error_deleting
A report of another status ends the snapshot's own job, which is cancelled.
"""

from typing import Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.jobs import give_back
from breezeblock.core.overrides import override
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change
from breezeblock.core.versions import V
from breezeblock.resources.snapshots import rules, states
from breezeblock.resources.snapshots.table import snapshots

BODY = Body(
    "os-update_snapshot_status",
    {
        "status": fields.TEXT.but(required=True),
        "progress": fields.nullable(fields.text(4, pattern="^(100|[1-9]?[0-9])%$", expected="a percentage from 0% to 100%")),
    },
    strict_since=V.BASE,
)

REPORTS: Final = {
    states.CREATING: (states.CREATING, states.AVAILABLE, states.ERROR),
    states.DELETING: (states.DELETING, states.ERROR_DELETING),
}


def request(req: Request, snapshot_id: str) -> Answer:
    """The same status again only reports progress."""
    snapshot = rules.overridable(req, snapshot_id, "snapshot_extension:snapshot_actions:update_snapshot_status")
    status, progress = req.body["status"], req.body.get("progress") or snapshot["progress"]
    if status not in REPORTS.get(snapshot["status"], ()):
        raise errors.Invalid(reason=f"A snapshot that is {snapshot['status']} cannot be reported as {status[:60]!r}.")
    if status == snapshot["status"]:
        mine = (snapshots.c.id == snapshot_id, snapshots.c.status == status)
        req.tx.execute(sa.update(snapshots).where(*mine).values(progress=progress, updated_at=req.clock.utcnow()))
        return Answer(202)
    guards = (rules.HAS_BYTES,) if status == states.AVAILABLE else ()
    change = Change(snapshots, snapshot_id, {"status": status, "progress": progress}, guards)
    give_back(req.tx, override(req, "snapshots.update_status", snapshot, change), req.registry)
    return Answer(202)

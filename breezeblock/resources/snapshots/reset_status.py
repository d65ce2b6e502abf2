"""Set a snapshot's status by hand, as an administrator.

any status --request--> (its jobs cancelled) available, error or error_deleting
Only to a status in which nothing is under way: there would be no job that leads out of another.
"""

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

BODY = Body("os-reset_status", {"status": fields.TEXT.but(required=True)}, strict_since=V.BASE)


def request(req: Request, snapshot_id: str) -> Answer:
    """Cancel the snapshot's jobs and set the status, under the guard that there are bytes."""
    snapshot = rules.overridable(req, snapshot_id, "volume_extension:snapshot_admin_actions:reset_status")
    status = req.body["status"].lower()
    if status not in states.DELETABLE:
        raise errors.Invalid(
            reason=f"A snapshot cannot be put into {status[:60]!r}, for nothing would lead out of it; choose {', '.join(states.DELETABLE)}."
        )
    guards = (rules.HAS_BYTES,) if status == states.AVAILABLE else ()
    change = Change(snapshots, snapshot_id, {"status": status}, guards)
    give_back(req.tx, override(req, "snapshots.reset_status", snapshot, change), req.registry)
    return Answer(202)

"""Set a volume's status, attach status or migration status by hand, as an administrator.

any status --request--> (its jobs cancelled) the status asked for
Only to a status in which nothing is under way: there would be no job that leads out of another.
"""

from typing import Any

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.jobs import give_back
from breezeblock.core.overrides import override
from breezeblock.core.requests import Answer, Request
from breezeblock.core.transitions import Change, Guard, apply
from breezeblock.core.versions import V
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.conditional import Not

BODY = Body(
    "os-reset_status",
    {
        "status": fields.nullable(fields.TEXT),
        "attach_status": fields.nullable(fields.one_of(states.ATTACHED, states.DETACHED)),
        "migration_status": fields.nullable(fields.one_of("migrating", "error", "success", "completing", "none", "starting")),
    },
    strict_since=V.BASE,
)

NAME = "volumes.reset_status"
BROKEN = (states.ERROR, states.ERROR_DELETING, states.ERROR_EXTENDING, states.ERROR_RESTORING, states.ERROR_MANAGING)
WHOLE = (states.AVAILABLE, states.IN_USE, states.ATTACHING, states.MAINTENANCE)
"""Statuses of a volume that has bytes."""
HAS_BYTES = Guard("handle", Not(None), "nothing of it is on any backend; delete it instead")
HAS_ATTACHMENTS = Guard("attachments", Not(0), "it has no attachments, so it is not in use")
NO_ATTACHMENTS = Guard("attachments", 0, "it still has attachments ({value}); delete these first, or it could be attached twice")


def request(req: Request, volume_id: str) -> Answer:
    """Cancel the volume's jobs and set what was asked for, under guards that keep row, attachments and bytes in agreement."""
    volume = rules.find(req, volume_id, "volume_extension:volume_admin_actions:reset_status")
    values = {name: value.lower() for name, value in req.body.items() if value}
    if not values:
        raise errors.Invalid(reason="Say a status, an attach_status or a migration_status.")
    guards = _guards(values)
    if values.get("migration_status") == "none":
        values["migration_status"] = None
    if "status" in values:
        give_back(req.tx, override(req, NAME, volume, Change(volumes, volume_id, values, guards)), req.registry)
    else:
        apply(req.tx, NAME, Change(volumes, volume_id, values | {"updated_at": req.clock.utcnow()}, guards))
    return Answer(202)


def _guards(values: dict[str, Any]) -> tuple[Guard, ...]:
    status, attach_status = values.get("status"), values.get("attach_status")
    if status is not None and status not in (*BROKEN, *WHOLE):
        known = ", ".join(sorted((*BROKEN, *WHOLE)))
        raise errors.Invalid(
            reason=f"A volume cannot be put into {status[:60]!r}, for nothing would lead out of it; choose one of {known}."
        )
    guards = [HAS_BYTES] if status in WHOLE else []
    if status == states.IN_USE or attach_status == states.ATTACHED:
        guards.append(HAS_ATTACHMENTS)
    if status == states.AVAILABLE or attach_status == states.DETACHED:
        guards.append(NO_ATTACHMENTS)
    return tuple(guards)

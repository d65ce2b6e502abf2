"""Take a snapshot of a volume, attached or not.

request --> creating --done--> available
            creating --fail--> error
The volume keeps its status; its lane is held, because a driver may change its handle.
"""

from collections.abc import Mapping
from typing import Any

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import Change, Guard, NewJob, Transition, begin_new
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.drivers.interface import SnapshotSpec
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots import states
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.snapshots.view import View
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes

BODY = Body(
    "snapshot",
    {
        "volume_id": fields.UUID.but(required=True),
        "name": fields.NAME,
        "description": fields.DESCRIPTION,
        "display_name": fields.NAME,
        "display_description": fields.DESCRIPTION,
        "force": fields.nullable(fields.BOOLEAN),
        "metadata": fields.METADATA_OR_NULL,
    },
    strict_since=V.STRICT_SCHEMAS,
)

CREATE = Transition("snapshots.create", snapshots, via=states.CREATING, done=states.AVAILABLE, failed=states.ERROR)


class Taking(Payload, frozen=True):
    """What the driver needs; the size in GiB."""

    volume_id: str
    size_gib: int


def request(req: Request) -> Answer:
    """Write the snapshot's row and its job, count it on its volume's row, and charge the quota, in one transaction."""
    body = req.body
    volume = volume_rules.find(req, body["volume_id"], "volume:create_snapshot")
    snapshot_id, now = req.new_id("snapshot"), req.clock.utcnow()
    row = {
        "id": snapshot_id,
        "project_id": req.caller.project_id,
        "user_id": req.caller.user_id,
        "volume_id": volume["id"],
        "name": body.get("name", body.get("display_name")),
        "description": body.get("description", body.get("display_description")),
        "size_gib": volume["size_gib"],
        "volume_type_id": volume["volume_type_id"],
        "metadata": body.get("metadata") or {},
        "progress": "0%",
        "consumes_quota": True,
        "counts_gib": not req.settings.quota.no_snapshot_gb_quota,
    }
    taking = Taking(volume_id=volume["id"], size_gib=volume["size_gib"])
    job = NewJob.of(req, VERB, taking, volume_rules.queue_of(volume))
    begin_new(req.tx, CREATE, row, job, now=now, also=(_counted_on(volume, _statuses(req)),))
    charged = quotas.of_snapshot(volume["size_gib"], volume["volume_type_id"], counts_gib=row["counts_gib"])
    quotas.charge(req.tx, req.caller.project_id, charged, req.settings.quota)
    shown = row | {"status": states.CREATING, "created_at": now, "updated_at": None, "group_snapshot_id": None}
    return Answer(202, {"snapshot": View(req).detail(shown)})


def _statuses(req: Request) -> tuple[str, ...]:
    """In use needs force, until it needs nothing and force may only be true (SNAPSHOT_IN_USE)."""
    force = req.body.get("force")
    if req.version.has(V.SNAPSHOT_IN_USE):
        if force is False:
            raise errors.Invalid(reason=f"force cannot be false since microversion {V.SNAPSHOT_IN_USE}; leave it out.")
        force = True
    return (volume_states.AVAILABLE, volume_states.IN_USE) if force else (volume_states.AVAILABLE,)


def _counted_on(volume: Mapping[str, Any], statuses: tuple[str, ...]) -> Change:
    """The volume's row: its deletion tests the counter, and a snapshot has the size that was read."""
    guards = (
        Guard("status", statuses, "its status is '{value}', and must be " + " or ".join(statuses)),
        Guard("size_gib", volume["size_gib"], "its size has changed to {value} GiB"),
        volume_rules.NOT_MIGRATING,
    )
    return Change(volumes, volume["id"], {"snapshots": volumes.c.snapshots + 1}, guards, lane="hold")


def run(work: Work, taking: Taking) -> None:
    """Take it; the finish publishes both handles."""
    volume = work.row(volumes, taking.volume_id)
    assert volume is not None, "the lane of the volume keeps it"
    made = work.driver.snapshot(work.call, volume["handle"], SnapshotSpec(work.job.resource_id, volume["id"], taking.size_gib))
    work.finish({"handle": made.new, "progress": "100%"}, also=(Change(volumes, volume["id"], {"handle": made.source}),))


VERB = Verb(CREATE, Taking, run)

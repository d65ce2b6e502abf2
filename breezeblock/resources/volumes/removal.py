"""How a volume goes away: what delete and force_delete share. Must never leave a counter of what it removes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from breezeblock.core.jobs import JobRow, give_back
from breezeblock.core.overrides import override
from breezeblock.core.requests import Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import Change, Guard, NewJob, Transition, begin
from breezeblock.core.work import Work
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots import rules as snapshot_rules
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler import capacity
from breezeblock.store.engine import Tx

ALWAYS = (rules.NOT_ATTACHED, rules.NOT_MIGRATING, rules.NO_GROUP)
"""What no force overrides."""
_SNAPSHOTS = "it has snapshots ({value}); delete them first, or ask for cascade"


class Deletion(Payload, frozen=True):
    """The snapshots that go with it; their rows are already ``deleting``, under lanes of this job."""

    snapshot_ids: list[str]


def remove(req: Request, verb: Verb, transition: Transition, volume: Mapping[str, Any], *, cascade: bool) -> None:
    """Begin the deletion, with ``cascade`` of the snapshots too, all in one transaction."""
    doomed = snapshot_rules.doomed(req, volume["id"]) if cascade else []
    count = Guard("snapshots", len(doomed), _SNAPSHOTS)
    deletion = Deletion(snapshot_ids=[change.id for change in doomed])
    job = NewJob.of(req, verb, deletion, rules.queue_of(volume), project_id=volume["project_id"])
    begin(req.tx, transition, volume["id"], job, version=req.version, now=req.clock.utcnow(), guards=(count,), also=doomed)


def remove_by_force(req: Request, verb: Verb, transition: Transition, volume_id: str, rule: str, *, cascade: bool = False) -> None:
    """The same from any status: what runs is cancelled, the volume is in error for an instant, and the deletion waits for the lane."""
    volume = rules.find(req, volume_id, rule)
    cancelled = override(req, transition.name, volume, Change(volumes, volume_id, {"status": states.ERROR}))
    as_overridden = rules.find(req, volume["id"], rule)  # a job that ended since may have given it a pool
    unasked = dataclasses.replace(transition, allowed={})  # the status was set here: a refusal must not speak of it
    remove(req, verb, unasked, as_overridden, cascade=cascade)
    give_back(req.tx, cancelled, req.registry)


def erase(work: Work, deletion: Deletion) -> None:
    """Snapshots first, then the volume; what is gone already is no error."""
    volume = work.own()
    found = (work.row(snapshots, snapshot_id) for snapshot_id in deletion.snapshot_ids)
    doomed = [row for row in found if row is not None]
    for snapshot in doomed:
        work.driver.delete_snapshot(work.call, snapshot["id"], snapshot["handle"])
    work.driver.delete(work.call, volume["id"], volume["handle"])
    work.exports.forget(work.call, volume["id"])
    finish(work, volume, doomed)


def finish(work: Work, volume: Mapping[str, Any], doomed: Sequence[Mapping[str, Any]] = ()) -> None:
    """The rows go, and all that they counted."""
    gone = [Change(snapshots, snapshot["id"], remove=True) for snapshot in doomed]
    freed: dict[str, dict[str, int]] = {volume["project_id"]: rules.counted(volume)}
    for snapshot in doomed:
        owner = snapshot["project_id"]
        freed[owner] = quotas.together(freed.get(owner, {}), snapshot_rules.counted(snapshot))

    def last(tx: Tx) -> None:
        if volume["pool_id"] is not None:
            capacity.release(tx, volume["pool_id"], volume["size_gib"])
        for owner in sorted(freed):
            quotas.give_back(tx, owner, freed[owner])

    work.finish(also=gone, last=last)


def spare_snapshots(tx: Tx, job: JobRow, deletion: Deletion) -> None:
    """Snapshots that went along are in error too, and can be deleted again."""
    if deletion.snapshot_ids:
        snapshot_rules.mark_error_deleting(tx, deletion.snapshot_ids)

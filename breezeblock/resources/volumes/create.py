"""Create a volume: empty, from a snapshot, or from another volume.

request --> creating (scheduler: choose a pool) --> creating (volume worker) --done--> available
            creating --fail--> error
"""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import Change, Guard, NewJob, Transition, begin_new
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.drivers.interface import VolumeSpec
from breezeblock.resources.availability_zones import rules as zones
from breezeblock.resources.pools import rules as pools
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.snapshots import rules as snapshot_rules
from breezeblock.resources.snapshots import states as snapshot_states
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.types import rules as types
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes
from breezeblock.resources.volumes.view import View
from breezeblock.scheduler import capacity
from breezeblock.scheduler.choose import choose
from breezeblock.scheduler.model import Pool, Wanted
from breezeblock.store.engine import Tx

log = logging.getLogger(__name__)

_HINTS = fields.nullable(fields.OBJECT)
BODY = Body(
    "volume",
    {
        "size": fields.nullable(fields.POSITIVE),
        "name": fields.NAME,
        "description": fields.DESCRIPTION,
        "display_name": fields.NAME,
        "display_description": fields.DESCRIPTION,
        "metadata": fields.METADATA_OR_NULL,
        "availability_zone": fields.nullable(fields.TEXT),
        "volume_type": fields.nullable(fields.TEXT),
        "snapshot_id": fields.UUID_OR_NULL,
        "source_volid": fields.UUID_OR_NULL,
        "consistencygroup_id": fields.UUID_OR_NULL,
        "imageRef": fields.nullable(fields.TEXT),
        "image_id": fields.nullable(fields.TEXT),
        "multiattach": fields.nullable(fields.BOOLEAN),
        "group_id": fields.UUID_OR_NULL.but(since=V.GROUPS),
        "backup_id": fields.UUID_OR_NULL.but(since=V.CREATE_FROM_BACKUP),
        "OS-SCH-HNT:scheduler_hints": _HINTS,
        "scheduler_hints": _HINTS,
    },
    beside={"OS-SCH-HNT:scheduler_hints": _HINTS, "scheduler_hints": _HINTS},
    strict_since=V.STRICT_SCHEMAS,
)

CREATE = Transition("volumes.create", volumes, via=states.CREATING, done=states.AVAILABLE, failed=states.ERROR)

LATER = {"imageRef": "an image", "image_id": "an image", "backup_id": "a backup", "group_id": "a group", "consistencygroup_id": "a group"}

SOURCE_STATES = (states.AVAILABLE, states.IN_USE)
MOST_HINTED = 100


class Creation(Payload, frozen=True):
    """What the scheduler and the driver need; sizes in GiB."""

    size_gib: int
    extra_specs: dict[str, str]
    zones: list[str]
    source_pool_id: str | None = None
    source_volid: str | None = None
    snapshot_id: str | None = None
    near: tuple[str, ...] = ()
    """Volumes on whose backends it shall be (scheduler hint same_host)."""
    far: tuple[str, ...] = ()
    """Volumes on whose backends it shall not be (different_host)."""


def request(req: Request) -> Answer:
    """Write the volume's row and its job, and charge the quota, in one transaction."""
    body = req.body
    req.authorize("volume:create")
    _refuse_what_is_not_there(body)
    source = _source(req, body)
    size = _size(body.get("size"), source)
    quotas.check_volume_size(req.tx, req.caller.project_id, size, req.settings.quota)
    kind = types.chosen(req, body.get("volume_type"), source.get("volume_type_id"))
    types.check_size(kind, size)
    multiattach = types.multiattach(kind)
    if multiattach:
        req.authorize("volume:multiattach")
    zone = _zone(req, body.get("availability_zone"), source)
    volume_id, now = req.new_id("volume"), req.clock.utcnow()
    hints = _hints(body, req.beside)
    creation = Creation(
        size_gib=size,
        extra_specs=dict(kind["extra_specs"]),
        zones=[zone] if zone else types.zones(kind),
        source_pool_id=source.get("pool_id"),
        source_volid=body.get("source_volid"),
        snapshot_id=body.get("snapshot_id"),
        near=_volumes_of(hints, "same_host"),
        far=_volumes_of(hints, "different_host"),
    )
    row = {
        "id": volume_id,
        "project_id": req.caller.project_id,
        "user_id": req.caller.user_id,
        "name": body.get("name", body.get("display_name")),
        "description": body.get("description", body.get("display_description")),
        "size_gib": size,
        "volume_type_id": kind["id"],
        "availability_zone": zone or source.get("availability_zone") or req.settings.storage_availability_zone,
        "snapshot_id": creation.snapshot_id,
        "source_volid": creation.source_volid,
        "multiattach": multiattach,
        "bootable": bool(source.get("bootable")),
        "metadata": body.get("metadata") or {},
        "image_metadata": source.get("image_metadata") or {},
    }
    begin_new(req.tx, CREATE, row, NewJob.of(req, VERB, creation, "scheduler"), now=now, also=_read_source(body))
    quotas.charge(req.tx, req.caller.project_id, quotas.of_volume(size, kind["id"]), req.settings.quota)
    return Answer(202, {"volume": View(req).detail_of(_UNSET | row | {"created_at": now, "volume_type": kind["name"]})})


_UNSET = {column.name: None for column in volumes.c} | {"status": states.CREATING, "consumes_quota": True, "attached": 0}
"""What a new row holds where the request says nothing: the answer needs no second look at the database."""


def _refuse_what_is_not_there(body: Mapping[str, Any]) -> None:
    for name, what in LATER.items():
        if body.get(name):
            raise errors.Invalid(reason=f"This service cannot make a volume from or in {what} ({name}).")
    if body.get("multiattach"):
        raise errors.Invalid(reason="multiattach is a property of the volume type: use a type with multiattach='<is> True'.")
    if body.get("snapshot_id") and body.get("source_volid"):
        raise errors.Invalid(reason="A volume is made from a snapshot or from a volume, not from both.")


def _source(req: Request, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The volume that the bytes come from, with the size of the snapshot when it is one; empty for an empty volume."""
    if body.get("source_volid"):
        return rules.find(req, body["source_volid"], "volume:get")
    if body.get("snapshot_id"):
        snapshot = snapshot_rules.find(req, body["snapshot_id"], "volume:get_snapshot")
        parent = req.tx.row(sa.select(volumes).where(volumes.c.id == snapshot["volume_id"])) or {}
        return {**parent, "size_gib": snapshot["size_gib"]}
    return {}


def _size(asked: int | None, source: Mapping[str, Any]) -> int:
    if asked is None:
        if not source:
            raise errors.Invalid(reason="Invalid input: the size of an empty volume must be given, in GiB.")
        return int(source["size_gib"])
    if source and asked < source["size_gib"]:
        raise errors.Invalid(reason=f"Volume size {asked} GiB cannot be smaller than that of its source, {source['size_gib']} GiB.")
    return asked


def _zone(req: Request, asked: str | None, source: Mapping[str, Any]) -> str | None:
    """The zone that was asked for, which must be the source's if there is one, as the bytes do not leave their pool."""
    if not asked:
        return None
    if source and asked != source["availability_zone"]:
        raise errors.Invalid(reason=f"The volume must be in the zone of its source, {source['availability_zone']}, not in {asked[:60]!r}.")
    zones.check(req.tx, asked)
    return asked


def _hints(body: Mapping[str, Any], beside: Mapping[str, Any]) -> Mapping[str, Any]:
    """Scheduler hints stand beside the volume; some clients put them into it."""
    names = ("OS-SCH-HNT:scheduler_hints", "scheduler_hints")
    return next((found for place in (beside, body) for name in names if (found := place.get(name))), {})


def _volumes_of(hints: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The ids that a hint names, one or a list of them. Hints that nobody here knows mean nothing."""
    asked = hints.get(name) or []
    ids = asked if isinstance(asked, list) else [asked]
    if not all(isinstance(one, str) and len(one) <= 36 for one in ids) or len(ids) > MOST_HINTED:
        raise errors.Invalid(reason=f"The scheduler hint {name} must be the id of a volume, or a list of at most {MOST_HINTED} of them.")
    return tuple(ids)


def _read_source(body: Mapping[str, Any]) -> list[Change]:
    """A snapshot is pinned while it is read; a source volume's lane is held, because a driver may change its handle."""
    if body.get("source_volid"):
        guard = Guard("status", SOURCE_STATES, "the source's status is '{value}', and must be " + " or ".join(SOURCE_STATES))
        return [Change(volumes, body["source_volid"], {}, (guard,), lane="hold")]
    if body.get("snapshot_id"):
        guard = Guard("status", snapshot_states.AVAILABLE, "the snapshot's status is '{value}', and must be available")
        return [Change(snapshots, body["snapshot_id"], {}, (guard,), lane="share")]
    return []


def schedule(work: Work, creation: Creation) -> None:
    """Choose a pool, reserve its room by compare-and-swap, and hand the job to its queue.

    A pool whose workers are all away is the last choice: its queue keeps the job until one comes back.
    """
    known, near, far = work.store.read("volumes.create.pools", functools.partial(_look, creation=creation, project_id=work.job.project_id))
    if creation.near and not near:
        raise errors.NoValidPool
    wanted = Wanted(
        creation.size_gib,
        creation.extra_specs,
        tuple(creation.zones),
        creation.source_pool_id,
        near,
        far,
        seed=work.job.resource_id,
    )
    choice = choose(known, wanted)
    if choice.worth_waiting:
        choice = choose([dataclasses.replace(pool, up=True) for pool in known], wanted)
    for pool in choice.candidates:
        try:
            placed = {"pool_id": pool.id} | ({"availability_zone": pool.zone} if pool.zone else {})
            work.hand_off(pool.queue, placed, last=functools.partial(_reserve, pool_id=pool.id, size_gib=creation.size_gib))
        except _PoolFullError:
            continue
        return
    log.warning("volume %s: no pool can take it: %s", work.job.resource_id, choice.explanation() or "each was filled meanwhile")
    raise errors.NoValidPool


def _look(tx: Tx, creation: Creation, project_id: str) -> tuple[list[Pool], frozenset[str], frozenset[str]]:
    """All pools, and host@backend of the project's volumes that the hints name."""
    return pools.known(tx), _hosts(tx, creation.near, project_id), _hosts(tx, creation.far, project_id)


def _hosts(tx: Tx, volume_ids: Sequence[str], project_id: str) -> frozenset[str]:
    if not volume_ids:
        return frozenset()
    placed = (volumes.c.id.in_(volume_ids), volumes.c.project_id == project_id, volumes.c.pool_id.is_not(None))
    return frozenset(pool_id.partition("#")[0] for pool_id in tx.execute(sa.select(volumes.c.pool_id).where(*placed)).scalars())


class _PoolFullError(Exception):
    """Another scheduler took the room; the next pool is tried in a new transaction."""


def _reserve(tx: Tx, pool_id: str, size_gib: int) -> None:
    if not capacity.reserve(tx, pool_id, size_gib):
        raise _PoolFullError


def run(work: Work, creation: Creation) -> None:
    """Make the private objects; the finish publishes them."""
    volume = VolumeSpec(work.job.resource_id, creation.size_gib, creation.extra_specs)
    also: list[Change] = []
    if creation.source_volid is not None:
        source = work.row(volumes, creation.source_volid)
        assert source is not None, "the lane of the source keeps it"
        made = work.driver.clone(work.call, source["id"], source["handle"], volume)
        handle = made.new
        also = [Change(volumes, source["id"], {"handle": made.source})]
    elif creation.snapshot_id is not None:
        snapshot = work.row(snapshots, creation.snapshot_id)
        assert snapshot is not None, "the pin of the snapshot keeps it"
        handle = work.driver.create_from_snapshot(work.call, snapshot["handle"], volume)
    else:
        handle = work.driver.create(work.call, volume)
    work.finish({"handle": handle, "launched_at": work.clock.utcnow()}, also=also)


VERB = Verb(CREATE, Creation, run, schedule=schedule)

"""Extend a volume.

available --request--> extending --done--> available
in-use    --request--> extending --done--> in-use            (since EXTEND_IN_USE)
                       extending --fail--> error_extending
"""

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.jobs import JobRow
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Payload, Verb
from breezeblock.core.transitions import End, Guard, NewJob, Transition, begin
from breezeblock.core.versions import V
from breezeblock.core.work import Work
from breezeblock.resources.quotas import rules as quotas
from breezeblock.resources.volumes import rules, states
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler import capacity
from breezeblock.store.engine import Tx

BODY = Body("os-extend", {"new_size": fields.POSITIVE.but(required=True)})

EXTEND = Transition(
    "volumes.extend",
    volumes,
    via=states.EXTENDING,
    done=End.PREVIOUS,
    failed=states.ERROR_EXTENDING,
    allowed={states.AVAILABLE: V.BASE, states.IN_USE: V.EXTEND_IN_USE},
    guards=(rules.NOT_MIGRATING,),
)


class Extension(Payload, frozen=True):
    """Both sizes in GiB: a takeover gives back what the request took."""

    old_size_gib: int
    new_size_gib: int
    pool_id: str
    project_id: str
    charged: dict[str, int]


def request(req: Request, volume_id: str) -> Answer:
    """Take the quota and the pool's room for the growth, and ask for it."""
    volume = rules.find(req, volume_id, "volume:extend")
    if volume["status"] == states.IN_USE:
        req.authorize("volume:extend_attached_volume", volume)
    old, new = volume["size_gib"], req.body["new_size"]
    if new <= old:
        raise errors.Invalid(reason=f"New size for extend must be greater than the current size ({new} GiB given, {old} GiB now).")
    quotas.check_volume_size(req.tx, volume["project_id"], new, req.settings.quota)
    deltas = quotas.of_growth(old, new, volume["volume_type_id"], consumes_quota=volume["consumes_quota"])
    payload = Extension(old_size_gib=old, new_size_gib=new, pool_id=volume["pool_id"], project_id=volume["project_id"], charged=deltas)
    seen = Guard("size_gib", old, "its size has changed to {value} GiB")
    job = NewJob.of(req, VERB, payload, rules.queue_of(volume), project_id=volume["project_id"])
    begin(req.tx, EXTEND, volume_id, job, version=req.version, now=req.clock.utcnow(), guards=(seen,))
    if not capacity.grow(req.tx, volume["pool_id"], old, new):
        raise errors.Invalid(reason=f"The volume's pool {volume['pool_id']} has no room for {new - old} GiB more.")
    quotas.charge(req.tx, volume["project_id"], deltas, req.settings.quota)
    return Answer(202)


def run(work: Work, wanted: Extension) -> None:
    """Grow-only, so that a repetition and a late zombie change nothing."""
    volume = work.own()
    handle = work.driver.extend(work.call, volume["id"], volume["handle"], wanted.new_size_gib)
    work.finish({"size_gib": wanted.new_size_gib, "handle": handle})


def undo(tx: Tx, job: JobRow, wanted: Extension) -> None:
    """Give the room and the quota of the growth back."""
    capacity.release(tx, wanted.pool_id, wanted.new_size_gib - wanted.old_size_gib)
    quotas.give_back(tx, wanted.project_id, wanted.charged)


VERB = Verb(EXTEND, Extension, run, undo=undo)

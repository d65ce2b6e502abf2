"""Connecting and disconnecting an attachment: the two synchronous jobs behind every verb that gives or takes a volume's bytes.

    reserved  --connect-->    attaching | attached        reserved --fail--> error_attaching
    attach*   --disconnect--> (gone)                      attach*  --fail--> error_detaching

Both hold the volume's lane and change no status while they wait: a job that nobody ran leaves everything as it was.
A repetition of the request joins the job under way, by the attachment's id (protocol rule R11).
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.jobs import UNFINISHED, JobRow
from breezeblock.core.requests import Answer, JobResult, Request, Wait
from breezeblock.core.resource import JobClass, Payload, Verb
from breezeblock.core.transitions import Change, Guard, NewJob, Transition, begin
from breezeblock.core.work import Work
from breezeblock.resources.attachments import rules, states, view
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes import rules as volume_rules
from breezeblock.resources.volumes import states as volume_states
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx
from breezeblock.store.sql import now_ms
from breezeblock.store.tables.protocol import exports, jobs
from breezeblock.store.upsert import upsert

CONNECTABLE: Final = (volume_states.RESERVED, volume_states.ATTACHING, volume_states.IN_USE)

CONNECT = Transition(
    "attachments.connect",
    volumes,
    via=None,
    done=None,
    failed=None,
    guards=(Guard("status", CONNECTABLE, "its volume's status is '{value}', and must be " + " or ".join(CONNECTABLE)),),
)
DISCONNECT = Transition("attachments.disconnect", volumes, via=None, done=None, failed=None)


class Connection(Payload, frozen=True):
    """Which attachment, by which protocol and mode, and whether the client will still say that it is complete."""

    attachment_id: str
    protocol: str
    read_only: bool
    complete: bool
    made: bool = False
    """The same request made the attachment: when nobody waits for the answer any more, nobody knows of it either."""


class Disconnection(Payload, frozen=True):
    """Which attachment goes; ``keep``: it only loses its connection."""

    attachment_id: str
    keep: bool = False


def ask_connect(
    req: Request,
    volume: Mapping[str, Any],
    attachment_id: str,
    connector: Mapping[str, Any],
    mode: str,
    *,
    complete: bool,
    made: bool = False,
    show: Callable[[Request, Mapping[str, Any]], Any] | None = None,
) -> Wait:
    """Queue the connection of an attachment, or join the job that already does it.

    The answer shows the attachment with its connection, by ``show`` if that is given.
    """
    running = _under_way(req, volume["id"], CONNECT.name, attachment_id)
    if running is None:
        wanted = Connection(
            attachment_id=attachment_id, protocol=protocol_of(req, connector), read_only=mode == "ro", complete=complete, made=made
        )
        job = _job(req, CONNECT_VERB, wanted, volume)
        stored = Change(attachments, attachment_id, {"connector": dict(connector), "attached_host": connector.get("host")})
        begin(req.tx, CONNECT, volume["id"], job, version=req.version, now=req.clock.utcnow(), also=[stored])
        running = job.id
    return Wait(running, lambda again, result: _connected(again, result, attachment_id, show or _shown), req.settings.api.sync_timeout)


def ask_disconnect(req: Request, volume: Mapping[str, Any], attachment_id: str, *, keep: bool = False, status: int = 200) -> Wait:
    """Queue the end of an attachment (``keep``: of its connection only), or join the job that already ends it.

    The answer lists what is left; with ``status`` 202 it is empty.
    """
    running = _under_way(req, volume["id"], DISCONNECT.name, attachment_id)
    if running is None:
        job = _job(req, DISCONNECT_VERB, Disconnection(attachment_id=attachment_id, keep=keep), volume)
        begin(req.tx, DISCONNECT, volume["id"], job, version=req.version, now=req.clock.utcnow())
        running = job.id
    return Wait(running, lambda again, result: _disconnected(again, result, volume["id"], status), req.settings.api.sync_timeout)


def _job(req: Request, verb: Verb, payload: Payload, volume: Mapping[str, Any]) -> NewJob:
    milliseconds = int(req.settings.api.sync_timeout * 1000)
    return NewJob.of(req, verb, payload, volume_rules.queue_of(volume), expires_at_ms=now_ms() + milliseconds)


def _under_way(req: Request, volume_id: str, kind: str, attachment_id: str) -> str | None:
    mine = (jobs.c.resource_id == volume_id, jobs.c.kind == kind, jobs.c.state.in_(UNFINISHED))
    found = req.tx.execute(sa.select(jobs.c.id, jobs.c.payload).where(*mine)).all()
    return next((job.id for job in found if job.payload["attachment_id"] == attachment_id), None)


def protocol_of(req: Request, connector: Mapping[str, Any]) -> str:
    """``local`` for a connector of this host that says ``do_local_attach``, as os-brick's do; ``nbd`` for every other."""
    return "local" if connector.get("do_local_attach") and connector.get("host") == req.settings.host else "nbd"


def _shown(req: Request, row: Mapping[str, Any]) -> Any:
    return {"attachment": view.detail(req, row)}


def _connected(req: Request, result: JobResult, attachment_id: str, show: Callable[[Request, Mapping[str, Any]], Any]) -> Answer:
    _check(result)
    return Answer(200, show(req, rules.find(req, attachment_id, "volume:get")))


def _disconnected(req: Request, result: JobResult, volume_id: str, status: int) -> Answer:
    _check(result)
    if status == 202:
        return Answer(202)
    left = req.tx.rows(sa.select(attachments).where(attachments.c.volume_id == volume_id).order_by(attachments.c.created_at))
    return Answer(200, {"attachments": [view.summary(row) for row in left]})


def _check(result: JobResult) -> None:
    if not result.done:
        raise errors.Unavailable(reason=str(result.error.get("message") or f"the job was {result.state}"))


def connect(work: Work, wanted: Connection) -> None:
    """Export the volume, then publish how it is reached. Run again, it finds the same export and the same address."""
    row = work.row(attachments, wanted.attachment_id)
    if row is None:
        raise errors.ObjectMissing(what=f"attachment {wanted.attachment_id}")
    volume = work.own()
    # Asked under the daemon's lock: a late job of the driver may still be switching the volume to another layer.
    image = functools.partial(work.backend.driver.image, volume["handle"])
    parameters = work.exports.ensure(work.call, volume["id"], image, protocols=(wanted.protocol,), read_only=wanted.read_only)
    info = work.exports.connect_info(volume["id"], wanted.protocol, read_only=wanted.read_only)
    now = work.clock.utcnow()
    status = states.ATTACHED if wanted.complete else states.ATTACHING
    published = {
        "attach_status": status,
        "attached_at": now if wanted.complete else None,
        "updated_at": now,
        "service": f"{wanted.protocol}-{'ro' if wanted.read_only else 'rw'}",
        "connection_info": rules.secrets_of(work.settings.state_path).encrypt(info),
    }
    was_reserved = row["attach_status"] in {states.RESERVED, states.ERROR_ATTACHING}
    counters = rules.counted(connecting=int(was_reserved and not wanted.complete), attached=int(was_reserved and wanted.complete))
    still = Guard("attach_status", row["attach_status"], "it is '{value}'")

    def last(tx: Tx) -> None:
        if wanted.made and _expired(tx, work.job.id):
            raise _TooLateError
        _record_export(tx, work, volume, parameters)

    try:
        work.finish(counters, also=[Change(attachments, row["id"], published, (still,))], last=last)
    except _TooLateError:
        _take_back(work, volume["id"], wanted)


class _TooLateError(Exception):
    """Whoever asked has been told to come again, and does not know what was made for it (rule R11)."""


def _expired(tx: Tx, job_id: str) -> bool:
    found = tx.execute(sa.select(jobs.c.expires_at_ms <= now_ms()).where(jobs.c.id == job_id)).scalar_one()
    return bool(found)


def _take_back(work: Work, volume_id: str, wanted: Connection) -> None:
    service = f"{wanted.protocol}-{'ro' if wanted.read_only else 'rw'}"
    if not work.store.read("attachments.others", lambda tx: _users(tx, volume_id, service, wanted.attachment_id)):
        work.exports.withdraw(work.call, volume_id, wanted.protocol, read_only=wanted.read_only)
    work.fail(errors.AnswerTimedOut(verb="attachments connect", seconds=f"{work.settings.api.sync_timeout:g}"))


def _record_export(tx: Tx, work: Work, volume: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    owner, now = work.backend.exports.owner(), work.clock.utcnow()
    row = {
        "volume_id": volume["id"],
        "host": owner.host,
        "boot_id": owner.boot_id,
        "generation": work.call.token(volume["id"]).generation,
        "queue": work.job.queue,
        "parameters": dict(parameters),
        "created_at": now,
        "updated_at": now,
    }
    tx.execute(upsert(tx, exports, row, lambda incoming: {name: incoming[name] for name in row if name not in {"volume_id", "created_at"}}))


def connect_undo(tx: Tx, job: JobRow, wanted: Connection) -> None:
    """The attachment says that it failed, and can be connected again or deleted; one that nobody heard of goes."""
    waiting = (attachments.c.id == wanted.attachment_id, attachments.c.attach_status == states.RESERVED)
    if wanted.made:
        if tx.execute(sa.delete(attachments).where(*waiting)).rowcount == 1:
            tx.execute(sa.update(volumes).where(volumes.c.id == job.resource_id).values(rules.counted(more=-1)))
        return
    tx.execute(sa.update(attachments).where(*waiting).values(attach_status=states.ERROR_ATTACHING))


def disconnect(work: Work, wanted: Disconnection) -> None:
    """Withdraw the service when no other attachment uses it, then remove the attachment."""
    row = work.row(attachments, wanted.attachment_id)
    volume = work.own()
    if row is None:
        work.finish()
        return
    others = work.store.read("attachments.others", lambda tx: _users(tx, volume["id"], row["service"], row["id"]))
    left = None
    if row["service"] and not others:
        protocol, _, mode = row["service"].partition("-")
        left = work.exports.withdraw(work.call, volume["id"], protocol, read_only=mode == "ro")
    gone = row["service"] is not None and not others and left is None
    still = (attachments.c.id == row["id"], attachments.c.attach_status == row["attach_status"])

    unplugged = {"connector": None, "connection_info": None, "service": None}

    def last(tx: Tx) -> None:
        end = sa.update(attachments).where(*still).values(unplugged) if wanted.keep else sa.delete(attachments).where(*still)
        if tx.execute(end).rowcount != 1:
            raise errors.LostClaim(job=work.job.id, epoch=work.job.epoch)
        of_volume = exports.c.volume_id == volume["id"]
        if gone:
            tx.execute(sa.delete(exports).where(of_volume))
        elif left is not None:
            tx.execute(sa.update(exports).where(of_volume).values(parameters=dict(left)))

    work.finish({} if wanted.keep else rules.without(row), last=last)


def _users(tx: Tx, volume_id: str, service: str, but: str) -> int:
    same = (attachments.c.volume_id == volume_id, attachments.c.service == service, attachments.c.id != but)
    return int(tx.execute(sa.select(sa.func.count()).where(*same)).scalar_one())


def disconnect_undo(tx: Tx, job: JobRow, wanted: Disconnection) -> None:
    """The attachment says that it failed, and can be deleted again."""
    attached = (attachments.c.id == wanted.attachment_id, attachments.c.attach_status.in_((states.ATTACHED, states.DETACHING)))
    tx.execute(sa.update(attachments).where(*attached).values(attach_status=states.ERROR_DETACHING))


CONNECT_VERB = Verb(CONNECT, Connection, connect, undo=connect_undo, job_class=JobClass.SYNC)
DISCONNECT_VERB = Verb(DISCONNECT, Disconnection, disconnect, undo=disconnect_undo, job_class=JobClass.SYNC)

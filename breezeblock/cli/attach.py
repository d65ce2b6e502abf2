"""``breezeblock attach`` and ``detach``: a volume as a block device of this machine.

A client of the Block Storage API like any other: it makes an attachment with a connector of this host that asks
for a local connection, and does the client's half of it, a loop device. Doing either twice is harmless.
"""

import dataclasses
import json
import os
import platform
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final

from breezeblock import errors
from breezeblock.cli import statedir
from breezeblock.config import Settings
from breezeblock.core.versions import V
from breezeblock.exports import local

TOKEN: Final = "admin:default"  # noqa: S105 -- the token of auth_strategy none: USER:PROJECT
_SECONDS: Final = 60.0


class Refused(errors.Error):
    """The service refused: {reason}"""

    code = "client.refused"


class NotServed(errors.Error):
    """Nothing answers at {endpoint}: {reason}. Does 'breezeblock serve' run?"""

    code = "client.not_served"


class NotAttached(errors.Error):
    """Volume {volume} is not attached to this machine by 'breezeblock attach'."""

    code = "client.not_attached"


class Ambiguous(errors.Error):
    """{count} volumes are called {name}; give one of their ids: {ids}"""

    code = "client.ambiguous"


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Requests to one endpoint (its URL ends with /v3)."""

    endpoint: str
    token: str = TOKEN

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer's body. Raises NotFound, Refused with the service's own words, or NotServed."""
        request = urllib.request.Request(  # noqa: S310 -- the endpoint is the operator's
            self.endpoint + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-Auth-Token": self.token,
                "Content-Type": "application/json",
                "OpenStack-API-Version": f"volume {V.ATTACHMENT_MODE}",
            },
        )
        # Both ends are on this machine: no proxy is asked.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refused:
            text = refused.read()
            if refused.code == errors.NotFound.status:
                raise errors.NotFound(kind="Resource", id=path) from None
            raise Refused(reason=_words(text) or refused.reason) from None
        except OSError as error:
            raise NotServed(endpoint=self.endpoint, reason=getattr(error, "reason", error)) from None
        return json.loads(text) if text else None


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """A local connection of an attachment."""

    attachment_id: str
    host: str
    path: str
    """The exported file, below the state directory."""
    read_only: bool
    complete: bool

    @classmethod
    def of(cls, attachment: Mapping[str, Any]) -> "Connection | None":
        """That of an attachment as the API shows it; None when it has none, or one of another kind."""
        info = attachment.get("connection_info") or {}
        data = info.get("data", info)
        if not data.get("device_path"):
            return None
        complete = attachment["status"] != "attaching"
        return cls(attachment["id"], data["host"], data["device_path"], data["access_mode"] == "ro", complete)


def client(settings: Settings, endpoint: str | None) -> Client:
    """A client of ``endpoint``, or of the service that was last started on this state directory."""
    found = endpoint or statedir.endpoint_of(settings.state_path)
    if not found:
        raise NotServed(endpoint=settings.state_path, reason="no service was ever started on this state directory")
    return Client(found.rstrip("/"))


def attach(service: Client, settings: Settings, volume: str, *, read_only: bool) -> str:
    """Attach the volume of this name or id to this machine; the block device. The device of an earlier call, if it is attached already."""
    _need_root()
    volume_id = find(service, volume)
    known = mine(service, settings, volume_id)
    made = known[0] if known else _connect(service, settings, volume_id, read_only=read_only)
    try:
        device = local.attach(made.path, read_only=made.read_only)
    except BaseException:
        if not known:
            service.ask("DELETE", f"/attachments/{made.attachment_id}")
        raise
    if not made.complete:
        service.ask("POST", f"/attachments/{made.attachment_id}/action", {"os-complete": None})
    return device


def _connect(service: Client, settings: Settings, volume_id: str, *, read_only: bool) -> "Connection":
    wanted = {"volume_uuid": volume_id, "instance_uuid": None, "connector": connector(settings), "mode": "ro" if read_only else "rw"}
    made = Connection.of(service.ask("POST", "/attachments", {"attachment": wanted})["attachment"])
    if made is None:
        raise Refused(reason="the connection that it gave is not one to this machine")
    return made


def detach(service: Client, settings: Settings, volume: str) -> None:
    """Take the volume away from this machine. ObjectBusy while its device is mounted or open; NotAttached when it is not here."""
    _need_root()
    volume_id = find(service, volume)
    known = mine(service, settings, volume_id)
    if not known:
        raise NotAttached(volume=volume)
    for connection in known:
        local.detach(connection.path)
        service.ask("DELETE", f"/attachments/{connection.attachment_id}")


def find(service: Client, volume: str) -> str:
    """The id of the volume with this id or name. Raises NotFound or Ambiguous."""
    try:
        found: str = service.ask("GET", f"/volumes/{urllib.parse.quote(volume, safe='')}")["volume"]["id"]
    except errors.NotFound:
        query = urllib.parse.urlencode({"name": volume, "all_tenants": 1})
        ids = [each["id"] for each in service.ask("GET", f"/volumes?{query}")["volumes"]]
        if not ids:
            raise errors.NotFound(kind="Volume", id=volume) from None
        if len(ids) > 1:
            raise Ambiguous(count=len(ids), name=volume, ids=", ".join(ids)) from None
        found = ids[0]
    return found


def mine(service: Client, settings: Settings, volume_id: str) -> Sequence["Connection"]:
    """The local connections of the volume to this machine."""
    query = urllib.parse.urlencode({"volume_id": volume_id, "all_tenants": 1})
    ids = [each["id"] for each in service.ask("GET", f"/attachments?{query}")["attachments"]]
    found = [Connection.of(service.ask("GET", f"/attachments/{each}")["attachment"]) for each in ids]
    return [connection for connection in found if connection is not None and connection.host == settings.host]


def connector(settings: Settings) -> Mapping[str, Any]:
    """What this machine says of itself, in os-brick's words."""
    return {
        "host": settings.host,
        "platform": platform.machine(),
        "os_type": platform.system().lower(),
        "multipath": False,
        "do_local_attach": True,
    }


def _words(text: bytes) -> str:
    """The message of an error's envelope."""
    try:
        (fault,) = json.loads(text).values()
        return str(fault["message"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def _need_root() -> None:
    if os.geteuid() != 0:
        raise errors.Forbidden(rule="making block devices (it needs root)")

"""An API application on a real database, with sample verbs that do what any verb may do."""

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import falcon.testing
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.api.app import create
from breezeblock.api.auth.none import NoAuthentication
from breezeblock.api.policy import Policy
from breezeblock.api.route import Route
from breezeblock.api.services import ApiServices
from breezeblock.config import Settings
from breezeblock.core import fields, filters, paging
from breezeblock.core.bodies import Body, Query
from breezeblock.core.clock import SystemClock
from breezeblock.core.requests import Answer, Request
from breezeblock.core.resource import Registry
from breezeblock.core.versions import V
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store

LATEST = {"OpenStack-API-Version": "volume latest"}
LISTING = paging.Listing(
    volumes,
    "Volume",
    "widgets",
    {"created_at": ("created_at", V.BASE), "name": ("name", V.BASE), "size": ("size_gib", V.BASE), "id": ("id", V.BASE)},
)
FILTERS = {
    "name": filters.Filter(volumes.c.name, like=True),
    "status": filters.Filter(volumes.c.status),
    "size": filters.Filter(volumes.c.size_gib),
    "bootable": filters.Filter(volumes.c.bootable, strict_since=V.STRICT_BOOTABLE),
    "created_at": filters.Filter(volumes.c.created_at, since=V.TIME_FILTERS),
    "metadata": filters.Filter(volumes.c["metadata"]),
}


def verb(name: str, request: Callable[..., Any], **declared: Any) -> SimpleNamespace:
    """What a verb's module looks like to the API."""
    return SimpleNamespace(__name__=f"tests.widgets.{name}", request=request, **declared)


def _list(req: Request) -> Answer:
    req.authorize("volume:get_all")
    visible = [volumes.c.project_id == req.caller.project_id]
    found = paging.fetch(req, LISTING, [volumes.c.id, volumes.c.name], visible, filters.conditions(req, FILTERS))
    return Answer(200, paging.body(req, LISTING, found, [{"id": row["id"], "name": row["name"]} for row in found.rows]))


def _create(req: Request) -> Answer:
    req.authorize("volume:create")
    row = {"id": req.new_id("widget"), "project_id": req.caller.project_id, "user_id": req.caller.user_id, "status": "available"}
    values = {"name": req.body.get("name"), "size_gib": req.body["size"], "metadata": req.body.get("metadata") or {}, "image_metadata": {}}
    req.tx.execute(sa.insert(volumes).values(**row, **values, created_at=req.clock.utcnow()))
    return Answer(202, {"widget": {"id": row["id"], **req.body}}, {"Location": f"{req.url}/widgets/{row['id']}"})


def _show(req: Request, widget_id: str) -> Answer:
    row = (
        req.tx.execute(sa.select(volumes.c.id, volumes.c.name, volumes.c.project_id).where(volumes.c.id == widget_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise errors.NotFound(kind="Widget", id=widget_id)
    req.authorize("volume:get", row)
    return Answer(200, {"widget": {"id": row["id"], "name": row["name"]}})


def _grow(req: Request, widget_id: str) -> Answer:
    req.authorize("volume:extend")
    return Answer(202)


def _young(req: Request, widget_id: str) -> Answer:
    req.authorize("volume:extend")
    return Answer(200, {"version": str(req.version)})


def _reset(req: Request, widget_id: str) -> Answer:
    req.authorize("volume_extension:volume_admin_actions:reset_status")
    return Answer(202)


def _broken(req: Request) -> Answer:
    raise RuntimeError("the secret is hunter2")


def _forgot(req: Request) -> Answer:
    _create(req)
    req.asked.clear()
    return Answer(200)


def _echo(req: Request, thing: str) -> Answer:
    return Answer(200, {"thing": thing, "query": dict(req.query), "params": dict(req.params), "url": req.url, "path": req.path})


CREATE = Body(
    "widget",
    {
        "size": fields.POSITIVE.but(required=True),
        "name": fields.NAME,
        "metadata": fields.METADATA_OR_NULL,
        "hidden": fields.text(9).but(secret=True),
    },
    beside={"OS-SCH-HNT:scheduler_hints": fields.OBJECT},
    strict_since=V.STRICT_SCHEMAS,
)
ROUTES = (
    Route("GET", "/widgets", verb("list", _list), "volume:get_all"),
    Route("POST", "/widgets", verb("create", _create, BODY=CREATE), "volume:create", answers=202),
    Route("GET", "/widgets/{widget_id}", verb("show", _show), "volume:get"),
    Route(
        "POST",
        "/widgets/{widget_id}/action",
        verb("grow", _grow, BODY=Body("os-grow", {"new_size": fields.POSITIVE.but(required=True)}, strict_since=V.BASE)),
        "volume:extend",
        action="os-grow",
        answers=202,
    ),
    Route(
        "POST",
        "/widgets/{widget_id}/action",
        verb("reset", _reset, BODY=Body("os-reset", {}, nullable=True)),
        "volume_extension:volume_admin_actions:reset_status",
        action="os-reset",
        answers=202,
    ),
    Route(
        "POST",
        "/widgets/{widget_id}/action",
        verb("young", _young, BODY=Body("young", {}, nullable=True)),
        "volume:extend",
        action="young",
        since=V.REVERT,
    ),
    Route("GET", "/young", verb("young_list", lambda _: Answer(200, {})), None, since=V.ATTACHMENTS),
    Route("GET", "/broken", verb("broken", _broken), None),
    Route("POST", "/forgot", verb("forgot", _forgot, BODY=CREATE), "volume:create"),
    Route("GET", "/echo/{thing}", verb("echo", _echo, QUERY=Query({"usage": fields.BOOLEAN})), None),
)


def services(store: Store, settings: Settings | None = None, **changes: Any) -> ApiServices:
    """The services of an application that trusts everybody."""
    clock = SystemClock()
    parts: dict[str, Any] = {"policy": Policy(clock), "authenticator": NoAuthentication(), "registry": Registry(())}
    return ApiServices(store=store, settings=settings or Settings(), clock=clock, **(parts | changes))


class Client:
    """Requests as some user of some project, at some version."""

    def __init__(self, app: Any, token: str = "user:p1", headers: Mapping[str, str] = LATEST) -> None:
        self._client = falcon.testing.TestClient(app)
        self.headers = {"X-Auth-Token": token, **headers}

    def send(self, method: str, path: str, headers: Mapping[str, str] | None = None, **parts: Any) -> falcon.testing.Result:
        """Send one request; ``path`` may hold a query string."""
        path, _, query = path.partition("?")
        return self._client.simulate_request(method, path, headers={**self.headers, **(headers or {})}, query_string=query, **parts)

    def get(self, path: str, **parts: Any) -> falcon.testing.Result:
        """GET."""
        return self.send("GET", path, **parts)

    def post(self, path: str, json: Any, **parts: Any) -> falcon.testing.Result:
        """POST with a JSON body."""
        return self.send("POST", path, json=json, **parts)


def application(store: Store, routes: Iterable[Route] = ROUTES, **changes: Any) -> Any:
    """The application on ``store``."""
    return create(services(store, **changes), routes)

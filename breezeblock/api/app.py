"""The WSGI application: the routes of :mod:`breezeblock.api.routes` under Falcon, and what every answer carries.

:func:`create` takes everything that it needs and keeps nothing global, so a process may hold several.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any

import falcon

from breezeblock import errors, logs
from breezeblock.api import discovery, envelope, health, incoming
from breezeblock.api.dispatch import Dispatcher
from breezeblock.api.negotiate import HEADER, negotiate
from breezeblock.api.route import Route, bind
from breezeblock.api.routes import ROUTES
from breezeblock.api.services import ApiServices
from breezeblock.api.wait import Waiting

_log = logging.getLogger("breezeblock.api")
V3 = "/v3"
PROJECT = "/{path_project}"


def create(services: ApiServices, routes: Iterable[Route] = ROUTES) -> falcon.App[falcon.Request, falcon.Response]:
    """The application. Raises ValueError when a route is wrong, so that a defect shows at the start."""
    app = falcon.App(middleware=[_Around()])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_qs_csv = False
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(falcon.HTTPError, _falcon_error)
    app.add_error_handler(errors.Error, _refused)
    dispatcher = Dispatcher(services, Waiting(services))
    for path, methods in bind(routes, services.policy).items():
        resource = dispatcher.resource(methods)
        app.add_route(V3 + path, resource)
        app.add_route(V3 + PROJECT + path, resource)
    endpoint = services.settings.api.public_endpoint
    app.add_route("/", _Versions(endpoint, 300))
    app.add_route(V3, _Versions(endpoint, 200))
    app.add_route("/healthcheck", _Health(services))
    return app


class _Around:
    """What happens before and after every request, known path or not."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.request_id = incoming.new_request_id()
        req.context.version = None
        req.context.caller = None
        req.context.started = time.monotonic()
        if "\0" in req.path:
            raise errors.RouteNotFound
        if req.path.startswith(V3 + "/"):
            req.context.version = negotiate(req.env.get("HTTP_OPENSTACK_API_VERSION"))

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:  # noqa: FBT001 -- Falcon calls it so
        context = req.context
        resp.set_header("X-Openstack-Request-Id", context.request_id)
        resp.set_header("x-compute-request-id", context.request_id)
        if context.version is not None:
            resp.set_header(HEADER, f"volume {context.version}")
        resp.append_header("Vary", HEADER)
        _log_request(req, resp)


def _log_request(req: falcon.Request, resp: falcon.Response) -> None:
    """One line for each write and each refusal; for what was only read, at level DEBUG.

    Never the query, the headers or a body: they may hold what is secret.
    """
    level = logging.INFO if req.method != "GET" or resp.status_code >= 400 else logging.DEBUG
    if _log.isEnabledFor(level):
        took = (time.monotonic() - req.context.started) * 1000
        _say(req, level, f"answered {resp.status_code} in {took:.1f} ms")


def _say(req: falcon.Request, level: int, what: str, trouble: BaseException | None = None) -> None:
    """A line of the log about this request, under its id; the calling service's id for the whole operation is named."""
    context = req.context
    who = f"{context.caller.user_id}:{context.caller.project_id}" if context.caller else "nobody"
    whole = incoming.global_request_id(req)
    with logs.bound(request_id=context.request_id):
        _log.log(
            level,
            "%s %s by %s%s %s",
            req.method,
            req.path.encode("unicode_escape").decode(),
            who,
            f" for {whole}" if whole else "",
            what,
            exc_info=trouble,
        )


class _Versions:
    """The versions document; the same for every version that is asked for, but not for a malformed or unknown one."""

    def __init__(self, public_endpoint: str, status: int) -> None:
        self._public_endpoint = public_endpoint
        self._status = status

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = self._status
        resp.media = discovery.document(incoming.base_url(req, self._public_endpoint))


class _Health:
    """``GET /healthcheck``: plain text for shells, JSON for whoever asks for it."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        wrong = health.ailment(self._services.store)
        resp.status = 503 if wrong else 200
        resp.set_header("Cache-Control", "no-store")
        if wrong:
            resp.set_header("Retry-After", "1")
        if "application/json" in (req.get_header("Accept") or ""):
            resp.media = {"healthy": wrong is None, "reason": wrong or "OK"}
        else:
            resp.content_type = falcon.MEDIA_TEXT
            resp.text = f"{wrong or 'OK'}\n"

    on_head = on_get


def _refused(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    """A refusal that somebody decided on."""
    if isinstance(error, errors.Unavailable):
        _say(req, logging.WARNING, f"is put off: {error}")
    elif error.status >= 500:
        _say(req, logging.ERROR, f"failed: {error}", error)
    resp.status, resp.data, headers = envelope.of(error)
    resp.content_type = falcon.MEDIA_JSON
    resp.set_headers(headers)


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    """A defect of ours: the log gets all of it, the client its id."""
    _say(req, logging.ERROR, "failed", error)
    resp.status, resp.data = 500, envelope.body(500, envelope.UNEXPECTED)
    resp.content_type = falcon.MEDIA_JSON


def _falcon_error(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    """What Falcon itself refuses: an unknown path, a method that a path has not, a malformed header."""
    if isinstance(error, falcon.HTTPRouteNotFound):
        mine: errors.Error = errors.RouteNotFound()
    elif isinstance(error, falcon.HTTPMethodNotAllowed):
        allowed = (error.headers or {}).get("Allow", "") if isinstance(error.headers, dict) else ""
        resp.set_headers({"Allow": allowed})
        mine = errors.MethodNotAllowed(method=req.method, allowed=allowed)
    else:
        resp.status = error.status
        resp.data = envelope.body(resp.status_code, error.description or error.title or "The request is malformed.")
        resp.content_type = falcon.MEDIA_JSON
        return
    _refused(req, resp, mine, params)

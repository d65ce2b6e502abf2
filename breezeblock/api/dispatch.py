"""The way of a request, once its version is known: caller, route, body, one transaction, perhaps a wait, answer.

One function per step, in the order in which they happen. A refusal at any step is an
:class:`errors.Error`; nothing that a client sends may become anything else. It holds no state
but the services that it was given.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

import falcon
import orjson

from breezeblock import errors, logs
from breezeblock.api import incoming
from breezeblock.api.route import Bound, Method
from breezeblock.api.services import ApiServices
from breezeblock.api.wait import Waiting
from breezeblock.core.requests import NOTHING, Answer, Caller, Request, Wait
from breezeblock.core.transitions import attempt
from breezeblock.core.versions import RequestVersion
from breezeblock.store.engine import Tx


class Dispatcher:
    """Answers requests of known paths."""

    def __init__(self, services: ApiServices, waiting: Waiting) -> None:
        self._services = services
        self._waiting = waiting

    def resource(self, methods: dict[str, Method]) -> SimpleNamespace:
        """The Falcon resource of one path."""
        return SimpleNamespace(**{f"on_{name.lower()}": partial(self.respond, method) for name, method in methods.items()})

    def respond(self, method: Method, req: falcon.Request, resp: falcon.Response, path_project: str | None = None, **path_ids: str) -> None:
        """Answer one request; raises :class:`errors.Error` for what is refused."""
        services = self._services
        version = req.context.version
        headers = incoming.headers(req)
        caller = services.authenticator.caller(headers, path_project)
        req.context.caller = caller
        if path_project is not None and path_project != caller.project_id:
            raise errors.Invalid(reason="Malformed request url: its project is not the token's project.")
        bound, sent = self._choose(method, req, version)
        request = self._request(req, caller, version, headers, path_project)
        _read_into(request, bound, sent, incoming.query(req))
        with logs.bound(request_id=request.request_id):
            answer = self._perform(bound, request, path_ids)
            if isinstance(answer, Wait):
                answer = self._waiting.answer(bound.name, answer, request)
        _write(answer, resp)

    def _choose(self, method: Method, req: falcon.Request, version: RequestVersion) -> tuple[Bound, Any]:
        """The route that serves this version, and the body if it reads one. For actions the body's only key decides."""
        limit = self._services.settings.api.max_body
        if not method.actions:
            bound = _serving(method.plain, version)
            return bound, incoming.document(req, limit) if bound.body is not None else None
        sent = incoming.document(req, limit)
        if not isinstance(sent, dict) or len(sent) != 1:
            raise errors.Invalid(reason="Malformed request body: an action is an object with one key, the action's name.")
        [name] = sent
        if name not in method.actions:
            raise errors.Invalid(reason=f"There is no such action: {name[:60]}")
        return _serving(method.actions[name], version), sent

    def _request(
        self, req: falcon.Request, caller: Caller, version: RequestVersion, headers: dict[str, str], path_project: str | None
    ) -> Request:
        services = self._services
        prefix = len("/v3") if path_project is None else len("/v3/") + len(path_project)
        return Request(
            caller=caller,
            version=version,
            request_id=req.context.request_id,
            tx=None,  # type: ignore[arg-type]  # each run of the transaction brings its own
            clock=services.clock,
            settings=services.settings,
            policy=services.policy,
            registry=services.registry,
            url=incoming.v3_url(incoming.base_url(req, services.settings.api.public_endpoint), path_project),
            path=req.path[prefix:],
            headers=headers,
        )

    def _perform(self, bound: Bound, request: Request, path_ids: dict[str, str]) -> Answer | Wait:
        """Run the verb in the request's transaction. A write may run more than once; nothing of a failed run stays."""

        def work(tx: Tx) -> Answer | Wait:
            request.tx = tx
            answer = bound.handler(request, **path_ids)
            _check(bound, request, answer)
            return answer

        if bound.route.method == "GET":
            return self._services.store.read(bound.name, work)
        return attempt(self._services.store, bound.name, work)


def _serving(bounds: tuple[Bound, ...], version: RequestVersion) -> Bound:
    for bound in bounds:
        if bound.route.serves(version):
            return bound
    raise errors.RouteNotFound


def _read_into(request: Request, bound: Bound, sent: Any, query: Any) -> None:
    """Validate and convert what was sent."""
    request.query = query
    if bound.query is not None:
        request.params, _ = bound.query.check(query, request.version)
    if bound.body is not None:
        request.body, request.beside = bound.body.check(sent, request.version)


def _check(bound: Bound, request: Request, answer: Answer | Wait) -> None:
    """Before the commit: the verb asked its policy rule, and answers what its route says. Else it is a defect of ours."""
    if bound.rules and bound.rules.isdisjoint(request.asked):
        raise AssertionError(f"{bound.route} did not ask for its rule {bound.route.rule}")
    if isinstance(answer, Answer) and answer.status not in bound.statuses:
        raise AssertionError(f"{bound.route} answered {answer.status}, which its route does not say")


def _write(answer: Answer, resp: falcon.Response) -> None:
    resp.status = answer.status
    if answer.body is not None:
        resp.data = orjson.dumps(answer.body)
    if answer.headers is not NOTHING:
        resp.set_headers(dict(answer.headers))

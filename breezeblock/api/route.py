"""One line of the API, and what is made of it when the application starts. The lines stand in :mod:`breezeblock.api.routes`.

Everything that can be wrong with a line is found here, at the start, and never while a request waits.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from breezeblock.core.bodies import Body, Checker, Query
from breezeblock.core.requests import Handler
from breezeblock.core.versions import RequestVersion, V

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PATH_ID = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Route:
    """``method`` and ``path`` (below /v3 and the project) lead to ``verb``, a module with ``request`` and perhaps BODY and QUERY.

    ``rule``: the policy rule that the verb must have asked before it may commit, or those of which it must have
    asked one; None only where everybody may.
    ``action``: the key of the body, for ``POST .../action``. ``since``, ``until``: the versions that have the route.
    ``answers``: the statuses that the verb may answer with.
    """

    method: str
    path: str
    verb: Any
    rule: str | tuple[str, ...] | None
    action: str | None = None
    since: V = V.BASE
    until: V | None = None
    answers: int | tuple[int, ...] = 200

    def serves(self, version: RequestVersion) -> bool:
        """Whether the route exists at ``version``."""
        return version.has(self.since) and not (self.until is not None and version.has(self.until))

    def __str__(self) -> str:
        return f"{self.method} {self.path}{f' {self.action}' if self.action else ''}"


def action(
    path: str, name: str, verb: Any, rule: str | tuple[str, ...] | None, since: V = V.BASE, *, answers: int | tuple[int, ...] = 202
) -> Route:
    """The route of the action ``name`` on what ``path`` names. Most actions only begin something."""
    return Route("POST", f"{path}/action", verb, rule, action=name, since=since, answers=answers)


@dataclass(frozen=True, slots=True)
class Bound:
    """A route with everything that its requests need, made once."""

    route: Route
    handler: Handler
    name: str
    """Of its transactions, as in ``volumes.extend.request``."""
    body: Checker | None
    query: Checker | None
    rules: frozenset[str]
    statuses: frozenset[int]


@dataclass(frozen=True, slots=True)
class Method:
    """What one method of one path leads to: routes by version, or actions, each with its routes by version."""

    plain: tuple[Bound, ...]
    actions: Mapping[str, tuple[Bound, ...]]


def bind(routes: Iterable[Route], rules: Any) -> dict[str, dict[str, Method]]:
    """Path to method to what it leads to. Raises ValueError naming the line that is wrong; ``rules`` holds the known policy rules."""
    found: dict[str, dict[str, list[Bound]]] = {}
    for route in routes:
        _check(route, rules)
        found.setdefault(route.path, {}).setdefault(route.method, []).append(_bound(route))
    return {path: {name: _method(bound) for name, bound in methods.items()} for path, methods in found.items()}


def _method(bounds: list[Bound]) -> Method:
    actions: dict[str, list[Bound]] = {}
    for bound in bounds:
        if bound.route.action is not None:
            actions.setdefault(bound.route.action, []).append(bound)
    plain = [bound for bound in bounds if bound.route.action is None]
    for group in (plain, *actions.values()):
        _check_overlap([bound.route for bound in group])
    if plain and actions:
        raise ValueError(f"route {plain[0].route}: a path has either actions or none")
    return Method(tuple(plain), {name: tuple(group) for name, group in actions.items()})


def _bound(route: Route) -> Bound:
    body, query = getattr(route.verb, "BODY", None), getattr(route.verb, "QUERY", None)
    return Bound(
        route=route,
        handler=route.verb.request,
        name=f"{_name(route)}.request",
        body=Checker(body) if body is not None else None,
        query=Checker(query.body(), "the query string") if query is not None else None,
        rules=frozenset(rule_names(route)),
        statuses=frozenset((route.answers,) if isinstance(route.answers, int) else route.answers),
    )


def rule_names(route: Route) -> tuple[str, ...]:
    """The policy rules of a route; none where everybody may."""
    if route.rule is None:
        return ()
    return (route.rule,) if isinstance(route.rule, str) else route.rule


def _name(route: Route) -> str:
    module = str(getattr(route.verb, "__name__", "unnamed"))
    return ".".join(module.split(".")[-2:])


def _check(route: Route, rules: Any) -> None:
    def wrong(what: str) -> ValueError:
        return ValueError(f"route {route}: {what}")

    if route.method not in METHODS:
        raise wrong(f"the method must be one of {', '.join(METHODS)}")
    if not route.path.startswith("/") or route.path.endswith("/"):
        raise wrong("the path must start with / and not end with it")
    if missing := [rule for rule in rule_names(route) if rule not in rules]:
        raise wrong(f"there is no policy rule {missing[0]!r}")
    if not callable(getattr(route.verb, "request", None)):
        raise wrong("its verb has no function named request")
    wanted = list(inspect.signature(route.verb.request).parameters)[1:]
    given = _PATH_ID.findall(route.path)
    if sorted(wanted) != sorted(given):
        raise wrong(f"its path gives {given}, but request takes {wanted}")
    body, query = getattr(route.verb, "BODY", None), getattr(route.verb, "QUERY", None)
    if not isinstance(body, Body | None) or not isinstance(query, Query | None):
        raise wrong("BODY must be a Body and QUERY a Query")
    if route.action is not None and (body is None or body.key != route.action):
        raise wrong(f"the action's BODY must have the key {route.action!r}")


def _check_overlap(group: list[Route]) -> None:
    for version in (RequestVersion.of(v) for v in V):
        serving = [route for route in group if route.serves(version)]
        if len(serving) > 1:
            raise ValueError(f"route {serving[0]}: version {version} has it twice")

"""A wrong line of the table stops the start; the shipped table is right."""

from collections.abc import Callable
from typing import Any

import pytest

from breezeblock.api.route import Route, bind
from breezeblock.api.routes import ROUTES
from breezeblock.api.rules import RULES
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from tests.support.api import verb


def nothing(req: Request) -> Answer:
    return Answer(200)


def one(req: Request, thing_id: str) -> Answer:
    return Answer(200)


GROW = Body("os-grow", {"size": fields.POSITIVE})


def test_the_shipped_table_is_right_and_every_route_has_a_rule() -> None:
    bind(ROUTES, RULES)
    assert ROUTES
    assert [str(route) for route in ROUTES if not route.rule] == []


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ([Route("FETCH", "/a", verb("a", nothing), None)], "the method must be one of"),
        ([Route("GET", "a", verb("a", nothing), None)], "the path must start with /"),
        ([Route("GET", "/a/", verb("a", nothing), None)], "not end with it"),
        ([Route("GET", "/a", verb("a", nothing), "volume:fly")], "there is no policy rule 'volume:fly'"),
        ([Route("GET", "/a", verb("a", nothing), ("volume:get", "volume:fly"))], "there is no policy rule 'volume:fly'"),
        ([Route("GET", "/a", object(), None)], "no function named request"),
        ([Route("GET", "/a/{other_id}", verb("a", one), None)], "its path gives ['other_id'], but request takes ['thing_id']"),
        ([Route("POST", "/a", verb("a", nothing, BODY={"size": 1}), None)], "BODY must be a Body"),
        ([Route("POST", "/a/action", verb("a", nothing), None, action="os-grow")], "must have the key 'os-grow'"),
        ([Route("POST", "/a/action", verb("a", nothing, BODY=GROW), None, action="os-shrink")], "must have the key 'os-shrink'"),
        ([Route("GET", "/a", verb("a", nothing), None), Route("GET", "/a", verb("b", nothing), None, since=V.GROUPS)], "has it twice"),
        (
            [Route("POST", "/a", verb("a", nothing, BODY=GROW), None, action="os-grow"), Route("POST", "/a", verb("b", nothing), None)],
            "either actions or none",
        ),
    ],
)
def test_what_is_wrong_is_named(routes: list[Route], said: str) -> None:
    with pytest.raises(ValueError, match="route ") as caught:
        bind(routes, RULES)
    assert said in str(caught.value)


def test_a_path_may_lead_elsewhere_in_another_version() -> None:
    handlers: tuple[Callable[..., Any], ...] = (nothing, lambda _: Answer(200))
    old = Route("GET", "/a", verb("old", handlers[0]), None, until=V.GROUPS)
    new = Route("GET", "/a", verb("new", handlers[1]), None, since=V.GROUPS)
    [method] = bind([old, new], RULES)["/a"].values()
    assert [bound.route for bound in method.plain] == [old, new]

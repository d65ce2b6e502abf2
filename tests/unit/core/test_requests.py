"""What a handler is given: stable ids and the questions to the policy."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from breezeblock import errors
from breezeblock.core.clock import SystemClock
from breezeblock.core.requests import Caller, Request
from breezeblock.core.resource import Registry
from breezeblock.core.versions import RequestVersion

CALLER = Caller("u1", "p1", frozenset({"member"}), is_admin=False)


class OwnProjectOnly:
    """A policy of one rule."""

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> bool:
        return rule == "volume:get" and target["project_id"] == caller.project_id


def request() -> Request:
    nothing = cast("Any", None)
    return Request(
        CALLER, RequestVersion.latest(), "req-1", nothing, SystemClock(), nothing, OwnProjectOnly(), Registry(()), "http://host/v3/p1"
    )


def test_an_id_is_the_same_for_its_label_and_another_for_others() -> None:
    req = request()
    assert req.new_id("volume") == req.new_id("volume")
    assert req.new_id("volume") != req.new_id("job")
    assert req.new_id("volume") != request().new_id("volume")


def test_the_target_is_the_callers_own_project_unless_named() -> None:
    req = request()
    req.authorize("volume:get")
    req.authorize("volume:get", {"project_id": "p1"})
    assert not req.allowed("volume:get", {"project_id": "p2"})
    with pytest.raises(errors.Forbidden, match="volume:get"):
        req.authorize("volume:get", {"project_id": "p2"})

"""The policy: personas, the operator's file, and its speed."""

import timeit
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.api.policy import RELOAD_SECONDS, Policy
from breezeblock.api.rules import RULES
from breezeblock.core.clock import SystemClock
from breezeblock.core.requests import Caller

MINE, THEIRS = {"project_id": "p1", "user_id": "u9"}, {"project_id": "p2", "user_id": "u1"}


class SteppedClock(SystemClock):
    """Time that the test moves."""

    now = 0.0

    def boottime(self) -> float:
        return self.now


def caller(*roles: str, admin: bool = False) -> Caller:
    return Caller("u1", "p1", frozenset(roles), is_admin=admin)


ADMIN, MEMBER, READER, NOBODY = caller("admin", "member", "reader"), caller("member", "reader"), caller("reader"), caller()


@pytest.mark.parametrize(
    ("rule", "who", "mine", "theirs"),
    [
        ("volume:extend", ADMIN, True, True),
        ("volume:extend", caller(admin=True), True, True),
        ("volume:extend", MEMBER, True, False),
        ("volume:extend", READER, False, False),
        ("volume:get", READER, True, False),
        ("volume:get", NOBODY, False, False),
        ("volume:force_delete", MEMBER, False, False),
        ("volume:force_delete", ADMIN, True, True),
        ("volume_extension:type_get", NOBODY, True, True),
    ],
)
def test_personas(rule: str, who: Caller, mine: bool, theirs: bool) -> None:
    policy = Policy(SystemClock())
    assert (policy.allows(rule, who, MINE), policy.allows(rule, who, THEIRS)) == (mine, theirs)


def test_every_rule_can_be_asked_and_an_unknown_one_is_a_defect() -> None:
    policy = Policy(SystemClock())
    for rule in RULES:
        assert policy.allows(rule, ADMIN, MINE)
    with pytest.raises(KeyError):
        policy.allows("volume:fly", ADMIN, MINE)


def of_file(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    return Policy(SteppedClock(), str(file))


@pytest.mark.parametrize(
    ("rule", "mine", "theirs"),
    [
        ("!", False, False),
        ("@", True, True),
        ("", True, True),
        ("user_id:%(user_id)s", False, True),
        ("not project_id:%(project_id)s", False, True),
        ("role:Member and not role:auditor", True, True),
        ("role:%(user_id)s", False, False),
        ("project_id:p1", True, True),
        ("project_id:%(nowhere)s", False, False),
        ("user_domain_id:None", False, False),
        ("'p2':%(project_id)s", False, True),
        ("rule:admin_or_owner", True, False),
    ],
)
def test_an_operator_writes_oslo_policys_language(tmp_path: Path, rule: str, mine: bool, theirs: bool) -> None:
    policy = of_file(tmp_path, f'"volume:get": "{rule}"\n"backup:get": "role:admin"\n')
    assert (policy.allows("volume:get", MEMBER, MINE), policy.allows("volume:get", MEMBER, THEIRS)) == (mine, theirs)
    assert policy.allows("volume:extend", MEMBER, MINE)


def test_a_persona_can_be_redefined_for_all_its_rules(tmp_path: Path) -> None:
    policy = of_file(tmp_path, '"context_is_admin": "role:boss"\n')
    assert policy.allows("volume:force_delete", caller("boss"), THEIRS)
    assert not policy.allows("volume:force_delete", ADMIN, THEIRS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"volume:get": "rule:missing"', "refers to 'missing', which is no rule"),
        ('"volume:get": "role:a or not rule:missing"', "refers to 'missing'"),
        ('"admin_api": "rule:context_is_admin"\n"context_is_admin": "rule:admin_api"', "refers to itself"),
        ('"volume:get": [unclosed', "cannot be read"),
        ("- a list", "must be a mapping"),
        ('"volume:get": "role:admin and or"', "rule 'volume:get' cannot be read"),
        ('"volume:get": "admin"', "rule 'volume:get' cannot be read"),
    ],
)
def test_an_unusable_file_stops_the_start(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(errors.BadConfiguration, match="polic") as caught:
        of_file(tmp_path, text)
    assert said in caught.value.message


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(errors.BadConfiguration, match="cannot be read"):
        Policy(SystemClock(), str(tmp_path / "none.yaml"))


def test_a_changed_file_is_taken_and_an_unusable_one_is_not(tmp_path: Path) -> None:
    clock, file = SteppedClock(), tmp_path / "policy.yaml"
    file.write_text('"volume:get": "!"')
    policy = Policy(clock, str(file))
    file.write_text('"volume:get": "@  "')
    assert not policy.allows("volume:get", NOBODY, THEIRS)
    clock.now += RELOAD_SECONDS
    assert policy.allows("volume:get", NOBODY, THEIRS)
    file.write_text('"volume:get": "rule:missing"')
    clock.now += RELOAD_SECONDS
    assert policy.allows("volume:get", NOBODY, THEIRS)


def test_a_check_takes_microseconds() -> None:
    """oslo.policy's own evaluation takes over 200; see the module."""
    policy = Policy(SystemClock())
    seconds = min(timeit.repeat(lambda: policy.allows("volume:get", MEMBER, MINE), number=200, repeat=20)) / 200
    assert seconds < 20e-6

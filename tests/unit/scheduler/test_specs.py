"""The operators of extra specs."""

from typing import Any

import pytest

from breezeblock.scheduler.specs import demanded, lookup, matches


@pytest.mark.parametrize(
    ("actual", "spec", "expected"),
    [
        (True, "<is> True", True),
        (True, "<is> yes", True),
        (False, "<is> True", False),
        (False, "<is> False", True),
        ("true", "<is> True", True),
        ("iSCSI", "iSCSI", True),
        ("iSCSI", "nbd", False),
        ("iSCSI_or_FC", "<in> iSCSI", True),
        ("FC", "<in> iSCSI", False),
        ("nbd", "<or> iscsi <or> nbd", True),
        ("fc", "<or> iscsi <or> nbd", False),
        ("a b", "<or> a b <or> c", True),
        (12, "= 10", True),
        (9, "= 10", False),
        (10, "== 10.0", True),
        (10, "!= 10", False),
        (10, "!= 11", True),
        (10, ">= 10", True),
        (9.5, ">= 10", False),
        (10, "<= 10", True),
        ("100", ">= 20", True),
        ("fast", ">= 20", False),
        (5, ">= fast", False),
        ("b", "s== b", True),
        ("b", "s!= b", False),
        ("b", "s> a", True),
        ("b", "s< a", False),
        ("b", "s>= b", True),
        ("b", "s<= a", False),
        (True, "True", True),
        (False, "True", False),
        (20.0, "20", True),
        (20, "21", False),
        (["nbd", "iSCSI"], "<in> iSCSI", True),
        (["nbd"], "iSCSI", False),
        (None, "<is> False", False),
        (None, "anything", False),
        ("x", "s==", False),
        ("x", "", False),
        ("", "", True),
    ],
)
def test_each_operator(actual: Any, spec: str, expected: bool) -> None:
    assert matches(actual, spec) is expected


def test_only_unscoped_specs_and_capabilities_speak_of_pools() -> None:
    specs = {
        "a": "1",
        "capabilities:b": "2",
        "capabilities:c:d": "3",
        "provisioning:type": "thin",
        "RESKEY:availability_zones": "z",
        "x:y": "4",
    }
    assert demanded(specs) == {("a",): "1", ("b",): "2", ("c", "d"): "3"}


def test_nested_capabilities_are_found() -> None:
    facts = {"c": {"d": 5}, "e": 1}
    assert (lookup(facts, ("c", "d")), lookup(facts, ("c", "x")), lookup(facts, ("e", "f")), lookup(facts, ("z",))) == (5, None, None, None)

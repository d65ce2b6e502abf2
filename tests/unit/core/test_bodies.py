"""Declarations of bodies: the schema of each microversion, the conversions, and what a person is told."""

from typing import Any

import pytest

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body, Checker, Query
from breezeblock.core.versions import RequestVersion, V

CREATE = Body(
    "volume",
    {
        "size": fields.POSITIVE.but(required=True),
        "name": fields.NAME,
        "bootable": fields.BOOLEAN,
        "source_volid": fields.UUID_OR_NULL,
        "metadata": fields.METADATA_OR_NULL,
        "group_id": fields.UUID_OR_NULL.but(since=V.GROUPS),
        "multiattach": fields.BOOLEAN.but(until=V.MULTIATTACH),
        "password": fields.text(4).but(secret=True),
    },
    beside={"OS-SCH-HNT:scheduler_hints": fields.OBJECT},
    strict_since=V.STRICT_SCHEMAS,
)
OLD, NEW = RequestVersion.lowest(), RequestVersion.latest()
GROUP = "11111111-2222-3333-4444-555555555555"


def check(inner: Any, version: RequestVersion = NEW, body: Body = CREATE) -> Any:
    return Checker(body).check({body.key: inner}, version)[0]


def told(document: Any, version: RequestVersion = NEW, body: Body = CREATE) -> str:
    with pytest.raises(errors.Invalid) as caught:
        Checker(body).check(document, version)
    return caught.value.message


def test_values_arrive_as_pythons_own() -> None:
    sent = {"size": "7", "name": "  a ", "bootable": "yes", "source_volid": GROUP.replace("-", "").upper(), "metadata": {"k": "v"}}
    assert check(sent) == {"size": 7, "name": "a", "bootable": True, "source_volid": GROUP, "metadata": {"k": "v"}}


def test_null_stays_none_and_what_was_not_sent_stays_away() -> None:
    assert check({"size": 1, "name": None}) == {"size": 1, "name": None}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"size": "abc"}, "Invalid input for field volume.size. Value: 'abc'. It must be a whole number from 1 to 2147483647."),
        ({"size": "0"}, "volume.size. Value: '0'"),
        ({"size": 2**31}, "volume.size. Value: 2147483648"),
        ({"size": str(2**31)}, "volume.size. Value: '2147483648'"),
        ({"size": 1.5}, "volume.size. Value: 1.5"),
        ({"size": True}, "volume.size. Value: True"),
        ({"size": 1, "name": "x" * 256}, "volume.name"),
        ({"size": 1, "bootable": "maybe"}, "Value: 'maybe'. It must be true or false."),
        ({"size": 1, "source_volid": "x"}, "It must be a UUID, or null."),
        ({"size": 1, "metadata": {"": "v"}}, "volume.metadata"),
        ({"size": 1, "metadata": {"k" * 256: "v"}}, "volume.metadata"),
        ({"size": 1, "metadata": {"k": 1}}, "volume.metadata"),
        ({"size": 1, "metadata": {"k": "v" * 256}}, "volume.metadata"),
        ({}, "Invalid input: volume lacks the required field 'size'."),
        ({"size": 1, "colour": "red"}, "Invalid input: volume has fields that this version does not know: 'colour'."),
        ([], "Invalid input: volume must be an object."),
    ],
)
def test_a_refusal_names_field_value_and_what_is_expected(sent: Any, said: str) -> None:
    assert said in told({"volume": sent})


def test_a_secret_is_not_repeated() -> None:
    assert "hunter22" not in told({"volume": {"size": 1, "password": "hunter22"}})


@pytest.mark.parametrize("document", [None, [], "volume", 3, {}, {"volumes": {}}, {"volume": None}])
def test_a_document_of_another_shape_is_refused(document: Any) -> None:
    assert told(document).startswith("Invalid input")


def test_fields_come_and_go_with_their_versions() -> None:
    sent = {"size": 1, "group_id": GROUP, "multiattach": True, "unknown": 1}
    assert check(sent, OLD) == {"size": 1, "multiattach": True}
    before_strict = RequestVersion((3, 52))
    assert check(sent, before_strict) == {"size": 1, "group_id": GROUP}
    assert "'multiattach', 'unknown'" in told({"volume": sent})


def test_what_stands_beside_the_key_is_read_too() -> None:
    hints = {"same_host": [GROUP]}
    assert Checker(CREATE).check({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}, OLD)[1] == {
        "OS-SCH-HNT:scheduler_hints": hints
    }
    assert "OS-SCH-HNT:scheduler_hints" in told({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": 1}, OLD)


def test_an_empty_action_accepts_null() -> None:
    reserve = Body("os-reserve", {}, nullable=True)
    assert check(None, body=reserve) == {}
    assert check({}, body=reserve) == {}
    assert told({"os-reserve": 3}, body=reserve) == "Invalid input: os-reserve must be an object."


def test_an_update_needs_a_field_from_its_version_on() -> None:
    update = Body("volume", {"name": fields.NAME}, strict_since=V.STRICT_SCHEMAS, one_needed_since=V.STRICT_SCHEMAS)
    assert check({}, OLD, update) == {}
    assert told({"volume": {}}, NEW, update) == "Invalid input: volume must hold at least one field."


def test_a_whole_value_and_free_names() -> None:
    metadata = Body("metadata", whole=fields.METADATA)
    assert check({"a": "b"}, body=metadata) == {"a": "b"}
    assert "metadata" in told({"metadata": {"a": 1}}, body=metadata)
    quota = Body("quota_set", {"force": fields.BOOLEAN}, others=fields.integer(-1))
    assert check({"force": "True", "volumes": "10", "gigabytes_fast": -1}, body=quota) == {
        "force": True,
        "volumes": 10,
        "gigabytes_fast": -1,
    }
    assert "quota_set.volumes. Value: -2" in told({"quota_set": {"volumes": -2}}, body=quota)


def test_a_body_without_a_key_and_a_query() -> None:
    query = Query({"limit": fields.NOT_NEGATIVE, "usage": fields.BOOLEAN}).body()
    assert Checker(query).check({"limit": "5", "usage": "true", "other": "x"}, OLD)[0] == {"limit": 5, "usage": True}
    assert "field limit. Value: 'x'" in told({"limit": "x"}, body=query)


def test_one_schema_is_compiled_once_for_all_versions_that_share_it() -> None:
    checker = Checker(Body("a", {"x": fields.TEXT, "y": fields.TEXT.but(since=V.GROUPS)}))
    for minor in range(72):
        checker.check({"a": {"x": "1"}}, RequestVersion((3, minor)))
    assert len(checker._by_shape) == 2


def test_deep_nesting_is_a_refusal() -> None:
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"a": deep}
    assert told({"volume": {"size": 1, "metadata": deep}}) == "Invalid input: the request body is nested too deeply."

"""The pure part of how volumes are shown: what is selected for whom, and how a row becomes JSON."""

import datetime
from typing import Any, cast

import pytest

from breezeblock.core.clock import SystemClock
from breezeblock.core.requests import Caller, Request
from breezeblock.core.resource import Registry
from breezeblock.core.versions import RequestVersion, V
from breezeblock.resources.volumes import view
from breezeblock.resources.volumes.table import volumes
from breezeblock.resources.volumes.view import View, service_uuid

MORNING = datetime.datetime(2026, 1, 1, 6)  # noqa: DTZ001 - naive UTC, as stored
ROW: dict[str, Any] = {column.name: None for column in volumes.c} | {
    "id": "i", "name": "n", "status": "available", "size_gib": 2, "metadata": {"k": "v"}, "image_metadata": {}, "bootable": True,
    "created_at": MORNING, "project_id": "p1", "user_id": "u1", "pool_id": "h@b#p", "volume_type": "t", "attached": 0,
}  # fmt: skip


class Rights:
    """A policy that allows what it is given."""

    def __init__(self, *allowed: str) -> None:
        self._allowed = allowed

    def allows(self, rule: str, caller: Caller, target: Any) -> bool:
        return rule in self._allowed


def eyes(version: V = V.EXTEND_COMPLETION, *rights: str, admin: bool = False) -> View:
    nothing, caller = cast("Any", None), Caller("u1", "p1", frozenset(), is_admin=admin)
    at = RequestVersion.of(version)
    return View(Request(caller, at, "req", nothing, SystemClock(), nothing, Rights(*rights), Registry(()), "http://h:1/v3/p1"))


@pytest.mark.parametrize("field", view.FIELDS, ids=lambda field: field.name)
def test_a_field_is_shown_from_its_version_on_to_those_with_its_right(field: view.Field) -> None:
    rights = [field.right] if field.right and field.right != view.ADMIN else []
    admin = field.right == view.ADMIN
    assert field.name in eyes(V.EXTEND_COMPLETION, *rights, admin=admin).detail_of(ROW)
    assert (field.name in eyes(V.BASE, *rights, admin=admin).detail_of(ROW)) == (field.since is V.BASE)
    assert (field.name in eyes().detail_of(ROW)) == (field.right is None)


def test_no_column_is_selected_twice() -> None:
    for version in V:
        names = [column.key for column in eyes(version, *view.RIGHTS, admin=True).shape.columns]
        assert len(names[:-4]) == len(set(names[:-4]))


def test_the_same_callers_share_their_shape() -> None:
    assert eyes().shape is eyes().shape
    assert eyes(V.BASE).shape is not eyes().shape


def test_what_the_inside_calls_otherwise_is_shown_as_clients_know_it() -> None:
    shown = eyes().detail_of({**ROW, "status": "error_managing", "readonly": True, "image_metadata": {"os": "x"}})
    assert shown["status"] == "error"
    assert shown["metadata"] == {"k": "v", "readonly": "True"}
    assert "volume_image_metadata" not in shown, "that needs its right"
    assert eyes(V.BASE, view.IMAGE).detail_of({**ROW, "image_metadata": {"os": "x"}})["volume_image_metadata"] == {"os": "x"}
    assert ROW["metadata"] == {"k": "v"}, "the row stays as it is"
    assert (shown["bootable"], shown["created_at"], shown["updated_at"]) == ("true", "2026-01-01T06:00:00.000000", None)


def test_a_key_is_shown_where_there_is_one() -> None:
    encrypted = {**ROW, "encryption_key_id": "key"}
    assert (eyes().detail_of(encrypted)["encryption_key_id"], eyes().detail_of(encrypted)["encrypted"]) == ("key", True)
    assert "encryption_key_id" not in eyes().detail_of(ROW)
    assert "encryption_key_id" not in eyes(V.VOLUME_TYPE_ID).detail_of(encrypted)


def test_links_lead_to_the_volume() -> None:
    assert [link["href"] for link in eyes().links("i")] == ["http://h:1/v3/p1/volumes/i", "http://h:1/p1/volumes/i"]


def test_a_service_is_a_backend() -> None:
    assert service_uuid("h@b#one") == service_uuid("h@b#two") != service_uuid("h@c#one")
    assert service_uuid(None) is None

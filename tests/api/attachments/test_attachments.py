"""Attachments over HTTP: reserved, connected, complete, gone; shared, refused, and left alone by their askers."""

import uuid
from pathlib import Path

import pytest

from breezeblock.config import ApiSettings
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes.table import volumes
from tests.support.story import Person, Story

SERVER, OTHER_SERVER = str(uuid.uuid4()), str(uuid.uuid4())
HOST, OTHER_HOST = {"host": "h1", "initiator": "iqn.h1"}, {"host": "h2", "initiator": "iqn.h2"}
ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def available(story: Story, user: Person, **fields: object) -> str:
    volume = user.volume(**fields)
    story.settle()
    assert user.status(f"/volumes/{volume}") == "available"
    return volume


def reserve(user: Person, volume: str, server: str = SERVER, **fields: object) -> str:
    return str(
        user.post("/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": server, **fields}}, 200)["attachment"]["id"]
    )


def connect(user: Person, attachment: str, connector: object = HOST, status: int = 200) -> dict[str, object]:
    answer = user.put(f"/attachments/{attachment}", {"attachment": {"connector": connector}}, status)
    return dict(answer.get("attachment", answer))


def test_reserved_connected_complete_and_gone(story: Story, user: Person) -> None:
    volume = available(story, user)
    attachment = reserve(user, volume)
    assert user.status(f"/volumes/{volume}") == "reserved"
    shown = connect(user, attachment)
    assert shown["status"] == "attaching"
    assert shown["connection_info"] == {"driver_volume_type": "nbd", "attachment_id": attachment, "volume_id": volume, "read_only": False}
    assert user.status(f"/volumes/{volume}") == "attaching"
    user.act(f"/attachments/{attachment}", "os-complete", None, 204)
    detail = user.get(f"/volumes/{volume}")["volume"]
    assert detail["status"] == "in-use"
    assert [(each["attachment_id"], each["server_id"]) for each in detail["attachments"]] == [(attachment, SERVER)]
    assert "attachments" in user.refused("DELETE", f"/volumes/{volume}")
    assert user.delete(f"/attachments/{attachment}", 200) == {"attachments": []}
    assert user.status(f"/volumes/{volume}") == "available"
    assert story.backend.exports.services == {}
    story.check()


@ONE
def test_before_complete_was_known_connecting_attaches(story: Story) -> None:
    user = story.person(version="3.27")
    volume = available(story, user)
    attachment = reserve(user, volume)
    assert connect(user, attachment)["status"] == "attached"
    assert user.status(f"/volumes/{volume}") == "in-use"
    user.act(f"/attachments/{attachment}", "os-complete", None, 404)


@ONE
def test_a_reservation_goes_without_a_worker(story: Story, user: Person) -> None:
    volume = available(story, user)
    story.workers_step = False
    attachment = reserve(user, volume)
    user.delete(f"/attachments/{attachment}", 200)
    assert user.status(f"/volumes/{volume}") == "available"


@ONE
def test_a_volume_is_reserved_once_unless_by_the_same_server(story: Story, user: Person) -> None:
    volume = available(story, user)
    reserve(user, volume)
    refusal = user.refused("POST", "/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": OTHER_SERVER}})
    assert "its status is 'reserved'" in refusal
    second = reserve(user, volume)
    user.delete(f"/attachments/{second}", 200)
    assert user.status(f"/volumes/{volume}") == "reserved"


@ONE
def test_a_second_host_is_refused(story: Story, user: Person) -> None:
    volume = available(story, user)
    first, second = reserve(user, volume), reserve(user, volume)
    connect(user, first)
    answer = connect(user, second, OTHER_HOST, 409)
    assert "is not multiattach" in str(answer)


def test_multiattach_shares_the_export(story: Story, user: Person, admin: Person) -> None:
    admin.post("/types", {"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}}, 200)
    volume = available(story, user, volume_type="shared")
    one, two = reserve(user, volume), reserve(user, volume, OTHER_SERVER)
    for attachment, connector in ((one, HOST), (two, OTHER_HOST)):
        connect(user, attachment, connector)
        user.act(f"/attachments/{attachment}", "os-complete", None, 204)
    assert len(user.get(f"/volumes/{volume}")["volume"]["attachments"]) == 2
    left = user.delete(f"/attachments/{one}", 200)["attachments"]
    assert [each["id"] for each in left] == [two]
    assert user.status(f"/volumes/{volume}") == "in-use"
    assert story.backend.exports.services[volume] == {("nbd", False)}
    user.delete(f"/attachments/{two}", 200)
    assert user.status(f"/volumes/{volume}") == "available"
    story.check()


@ONE
def test_connecting_again_gives_the_same_answer(story: Story, user: Person) -> None:
    attachment = reserve(user, available(story, user))
    first = connect(user, attachment)
    story.workers_step = False
    assert connect(user, attachment) == first


@ONE
def test_lists_hold_no_connection(story: Story, user: Person, admin: Person) -> None:
    volume = available(story, user)
    attachment = reserve(user, volume)
    connect(user, attachment)
    assert user.get("/attachments")["attachments"] == [{"id": attachment, "status": "attaching", "instance": SERVER, "volume_id": volume}]
    [detail] = user.get(f"/attachments/detail?volume_id={volume}")["attachments"]
    assert "connection_info" not in detail
    assert user.get(f"/attachments?instance_id={OTHER_SERVER}")["attachments"] == []
    stranger = story.person("user", "elsewhere")
    assert stranger.get("/attachments")["attachments"] == []
    stranger.get(f"/attachments/{attachment}", 404)
    assert len(admin.get("/attachments?all_tenants=1")["attachments"]) == 1
    stored = story.row(attachments, attachment)
    assert stored is not None
    assert "driver_volume_type" not in stored["connection_info"]


def test_a_failed_connection_can_be_repeated(story: Story, user: Person) -> None:
    attachment = reserve(user, available(story, user))
    story.fail_next("ensure")
    connect(user, attachment, status=503)
    assert user.get(f"/attachments/{attachment}")["attachment"]["status"] == "error_attaching"
    assert connect(user, attachment)["status"] == "attaching"
    user.delete(f"/attachments/{attachment}", 200)
    story.check()


@ONE
def test_an_attachment_that_nobody_heard_of_is_undone(database: str, tmp_path: Path) -> None:
    hasty = Story(database, tmp_path, api=ApiSettings(sync_timeout=0.2))
    user = hasty.person()
    volume = available(hasty, user)
    hasty.workers_step = False
    user.refused("POST", "/attachments", {"attachment": {"volume_uuid": volume, "connector": HOST}}, status=503)
    row = hasty.row(volumes, volume)
    assert row is not None
    assert (row["status"], row["attachments"], hasty.all(attachments)) == ("available", 0, [])
    hasty.settle()
    assert hasty.backend.exports.services == {}
    assert user.status(f"/volumes/{volume}") == "available"
    hasty.store.dispose()


@ONE
def test_the_older_actions(story: Story, user: Person, admin: Person) -> None:
    volume = available(story, user)
    path = f"/volumes/{volume}"
    user.act(path, "os-reserve")
    assert user.status(path) == "attaching"
    user.act(path, "os-unreserve")
    assert user.status(path) == "available"
    user.act(path, "os-reserve")
    info = user.act(path, "os-initialize_connection", {"connector": HOST}, 200)["connection_info"]
    assert info["driver_volume_type"] == "nbd"
    user.act(path, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb", "host_name": "h1"})
    assert user.status(path) == "in-use"
    [shown] = admin.get(path)["volume"]["attachments"]
    assert (shown["device"], shown["host_name"], shown["server_id"]) == ("/dev/vdb", "h1", SERVER)
    user.act(path, "os-begin_detaching")
    user.act(path, "os-roll_detaching")
    assert user.status(path) == "in-use"
    user.act(path, "os-begin_detaching")
    user.act(path, "os-terminate_connection", {"connector": HOST})
    assert story.backend.exports.services == {}
    user.act(path, "os-detach", {})
    assert user.status(path) == "available"
    story.check()


@ONE
def test_a_read_only_volume_is_attached_read_only(story: Story, user: Person) -> None:
    volume = available(story, user)
    user.act(f"/volumes/{volume}", "os-update_readonly_flag", {"readonly": True})
    assert "read-only" in user.refused("POST", "/attachments", {"attachment": {"volume_uuid": volume, "mode": "rw"}})
    attachment = reserve(user, volume)
    connect(user, attachment)
    assert story.backend.exports.services[volume] == {("nbd", True)}

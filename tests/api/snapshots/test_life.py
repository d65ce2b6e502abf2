"""A snapshot's life over HTTP: taken, shown, changed, deleted, with what can go wrong on the way."""

from typing import Any

import pytest

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from tests.support.rows import NOW, add_snapshot, add_volume
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SHORT = {"id", "name", "description", "volume_id", "status", "size", "metadata", "created_at", "updated_at"}
EXTENDED = {"os-extended-snapshot-attributes:project_id", "os-extended-snapshot-attributes:progress"}
LATER = {
    "3.0": set[str](),
    "3.27": {"group_snapshot_id"},
    "3.50": {"group_snapshot_id", "user_id"},
    "3.71": {"group_snapshot_id", "user_id", "consumes_quota"},
}


@pytest.fixture
def volume_id(story: Story, user: Person) -> str:
    """A volume of 2 GiB that is available."""
    made = user.volume(size=2)
    story.settle()
    return made


def counter(story: Story, volume_id: str) -> tuple[int, int]:
    """The volume's count of snapshots, and of lanes."""
    row = story.row(volumes, volume_id)
    assert row is not None
    return row["snapshots"], row["live_jobs"]


def test_a_snapshot_from_request_to_gone(story: Story, user: Person, volume_id: str) -> None:
    body = {"volume_id": volume_id, "name": "s", "description": "d", "metadata": {"k": "v"}, "force": True}
    made = user.post("/snapshots", {"snapshot": body})["snapshot"]
    assert (made["status"], made["size"], made["metadata"]) == ("creating", 2, {"k": "v"})
    assert made["os-extended-snapshot-attributes:progress"] == "0%"
    assert counter(story, volume_id) == (1, 1)
    path = f"/snapshots/{made['id']}"
    assert user.status(f"/volumes/{volume_id}") == "available", "the volume keeps its status"
    assert "its status is 'creating'" in user.refused("DELETE", path)
    story.settle()
    shown = user.get(path)["snapshot"]
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"]) == ("available", "100%")
    assert counter(story, volume_id) == (1, 0)
    story.check()
    user.delete(path)
    assert user.status(path) == "deleting"
    story.check()
    assert (user.status(path), counter(story, volume_id)) == ("gone", (0, 0))
    user.delete(f"/volumes/{volume_id}")
    story.check()
    assert story.driver.objects() == []


def test_both_handles_are_published_together(story: Story, user: Person, volume_id: str) -> None:
    """The driver lets the volume go on in a new object, as overlays do."""
    story.driver._freezes = True
    before = story.row(volumes, volume_id)
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    after, taken = story.row(volumes, volume_id), story.row(snapshots, snapshot_id)
    assert before is not None
    assert after is not None
    assert taken is not None
    assert taken["handle"] == before["handle"]
    assert after["handle"] != before["handle"]
    story.check()


def test_a_failed_snapshot_is_in_error_counts_and_goes(story: Story, user: Person, volume_id: str) -> None:
    story.fail_next("snapshot")
    path = f"/snapshots/{user.snapshot(volume_id)}"
    story.settle()
    assert (user.status(path), counter(story, volume_id)) == ("error", (1, 0))
    assert user.status(f"/volumes/{volume_id}") == "available"
    story.check()
    story.fail_next("delete_snapshot")
    user.delete(path)
    story.settle()
    assert user.status(path) == "error_deleting"
    user.delete(path)
    story.check()
    assert (user.status(path), counter(story, volume_id)) == ("gone", (0, 0))


@SQLITE
@pytest.mark.parametrize(
    ("version", "force", "status"),
    [
        ("3.0", None, 400),
        ("3.65", None, 400),
        ("3.65", False, 400),
        ("3.65", True, 202),
        ("3.66", None, 202),
        ("3.66", True, 202),
        ("3.66", False, 400),
        ("3.71", "false", 400),
    ],
)
def test_force_for_volumes_in_use_by_version(story: Story, volume_id: str, version: str, force: Any, status: int) -> None:
    story.attach(volume_id)
    body: dict[str, Any] = {"volume_id": volume_id} | ({} if force is None else {"force": force})
    story.person(version=version).post("/snapshots", {"snapshot": body}, status)
    story.settle()
    assert story.person().status(f"/volumes/{volume_id}") == "in-use"
    assert counter(story, volume_id) == (int(status == 202), 0)
    story.check()


@SQLITE
def test_what_no_snapshot_is_taken_of(story: Story, user: Person, volume_id: str) -> None:
    for body in ({}, {"volume_id": None}, {"volume_id": "x"}, {"volume_id": volume_id, "colour": "red"}):
        user.post("/snapshots", {"snapshot": body}, 400)
    user.post("/snapshots", {"snapshot": {"volume_id": "0" * 32}}, 404)
    story.person("eve", "q").post("/snapshots", {"snapshot": {"volume_id": volume_id}}, 404)
    for status in ("error", "creating", "maintenance", "reserved"):
        other = add_volume(story.store, project_id="p", status=status)
        assert f"its status is '{status}'" in user.refused("POST", "/snapshots", {"snapshot": {"volume_id": other}})
    moving = add_volume(story.store, project_id="p", migration_status="migrating")
    assert "its migration is 'migrating'" in user.refused("POST", "/snapshots", {"snapshot": {"volume_id": moving}})
    assert story.all(snapshots) == []


def test_quota_counts_snapshots_and_as_configured_their_size(story: Story, volume_id: str) -> None:
    story.configure(snapshots=2, gigabytes=4)
    user = story.person()
    user.snapshot(volume_id)
    said = user.refused("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}}, status=413)
    assert said == "Quota exceeded for gigabytes: 2 GiB asked, but 4 of 4 GiB are in use already."
    story.configure(no_snapshot_gb_quota=True)
    user = story.person()
    user.snapshot(volume_id)
    assert "Quota exceeded for snapshots" in user.refused("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}}, status=413)
    story.check()
    user.delete(f"/volumes/{volume_id}?cascade=true")
    story.check()
    assert story.all(snapshots) == []


def test_an_admin_s_snapshot_of_another_s_volume_counts_for_the_admin(story: Story, user: Person, volume_id: str) -> None:
    admin = story.person("admin", "office")
    snapshot_id = admin.snapshot(volume_id)
    story.check()
    user.get(f"/snapshots/{snapshot_id}", 404)
    user.delete(f"/volumes/{volume_id}?cascade=true", 403)
    admin.delete(f"/volumes/{volume_id}?cascade=true")
    story.check()
    assert story.all(volumes) == []


@SQLITE
@pytest.mark.parametrize("version", LATER)
def test_every_version_shows_its_fields_and_no_others(story: Story, volume_id: str, version: str) -> None:
    person = story.person(version=version)
    made = person.post("/snapshots", {"snapshot": {"volume_id": volume_id}})["snapshot"]
    [detailed], [short] = person.get("/snapshots/detail")["snapshots"], person.get("/snapshots")["snapshots"]
    assert set(made) == set(detailed) == set(person.get(f"/snapshots/{made['id']}")["snapshot"]) == SHORT | EXTENDED | LATER[version]
    assert set(short) == SHORT


@SQLITE
def test_an_update_changes_names(story: Story, user: Person, volume_id: str) -> None:
    path = f"/snapshots/{user.snapshot(volume_id, name='old', display_description='old')}"
    shown = user.put(path, {"snapshot": {"name": "new"}})["snapshot"]
    assert (shown["name"], shown["description"], shown["status"]) == ("new", "old", "creating")
    assert user.put(path, {"snapshot": {"display_description": None}})["snapshot"]["description"] is None
    assert user.get(path)["snapshot"]["name"] == "new"
    for sent in ({}, {"colour": "red"}, {"name": "x", "colour": "red"}):
        user.put(path, {"snapshot": sent}, 400)
    story.person(version="3.0").put(path, {"snapshot": {}}, 400)


FILTERED = {
    "": ["s2", "s1", "s0"],
    "name=s1": ["s1"],
    "name~=s": ["s2", "s1", "s0"],
    "status=error": ["s0"],
    "sort=name:asc": ["s0", "s1", "s2"],
    "limit=1&offset=1": ["s1"],
    "metadata=%7B'k':'v'%7D": ["s1"],
    "consumes_quota=false": ["s2"],
    "availability_zone=z": ["s2", "s1", "s0"],
    "availability_zone=y": [],
}


def test_lists_are_filtered_sorted_and_paged_by_one_statement(story: Story, user: Person) -> None:
    volume_id = add_volume(story.store, project_id="p", availability_zone="z")
    changes: list[dict[str, Any]] = [{"status": "error"}, {"metadata": {"k": "v"}}, {"consumes_quota": False}]
    for number, change in enumerate(changes):
        moment = NOW.replace(minute=number)
        add_snapshot(story.store, volume_id, **{"project_id": "p", "name": f"s{number}", "created_at": moment} | change)
    add_snapshot(story.store, add_volume(story.store), project_id="q", name="theirs")
    for query, found in FILTERED.items():
        with story.statements() as seen:
            answer = user.get(f"/snapshots/detail?{query}")
        assert [each["name"] for each in answer["snapshots"]] == found, query
        assert len([statement for statement in seen if statement.startswith("SELECT")]) == 1
        assert ("snapshots_links" in answer) == ("limit" in query)
    assert user.get(f"/snapshots?with_count=true&volume_id={volume_id}")["count"] == 3


@SQLITE
def test_what_lists_of_older_versions_do_not_know(story: Story, admin: Person) -> None:
    volume_id = add_volume(story.store, project_id="p", pool_id="a@b#c")
    add_snapshot(story.store, volume_id, project_id="p", name="s")
    old = story.person(version="3.21")
    old.get("/snapshots?sort=name", 400)
    assert len(old.get("/snapshots?metadata=%7B'k':'v'%7D&colour=red")["snapshots"]) == 1
    story.person().get("/snapshots?colour=red", 400)
    story.person().get("/snapshots?host=a", 400)
    assert len(admin.get("/snapshots?host=a@b&all_tenants=1")["snapshots"]) == 1
    assert admin.get("/snapshots?host=a@bb")["snapshots"] == []

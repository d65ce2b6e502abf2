"""Deleting, extending and reverting: what they do, what they refuse, and what is left when the backend fails."""

import dataclasses

import pytest
import sqlalchemy as sa

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import messages, pools
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def volume_id(story: Story, user: Person) -> str:
    """A volume of 2 GiB that is available."""
    made = user.volume(size=2)
    story.settle()
    return made


def change(story: Story, volume_id: str, **values: object) -> None:
    """Write into the volume's row."""
    story.store.run("change", lambda tx: tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(values)))


# Delete


def test_snapshots_keep_a_volume_unless_they_go_too(story: Story, user: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}"
    first, second = user.snapshot(volume_id), user.snapshot(volume_id)
    assert "it has snapshots (2); delete them first, or ask for cascade" in user.refused("DELETE", path)
    assert "other work on it is under way (2)" in user.refused("DELETE", f"{path}?cascade=true"), "not while they are being made"
    story.settle()
    user.delete(f"{path}?cascade=true")
    assert [user.status(f"/snapshots/{each}") for each in (first, second)] == ["deleting", "deleting"]
    story.check()
    assert user.status(path) == "gone"
    assert story.all(snapshots) == []
    assert story.driver.objects() == []


@pytest.mark.parametrize("method", ["delete", "delete_snapshot"])
def test_a_failed_cascade_leaves_everything_deletable(story: Story, user: Person, volume_id: str, method: str) -> None:
    path, snapshot_id = f"/volumes/{volume_id}", user.snapshot(volume_id)
    story.settle()
    story.fail_next(method)
    user.delete(f"{path}?cascade=true")
    story.settle()
    assert (user.status(path), user.status(f"/snapshots/{snapshot_id}")) == ("error_deleting", "error_deleting")
    [told] = story.all(messages)
    assert (told["resource_id"], told["project_id"]) == (volume_id, "p")
    story.check()
    user.delete(f"{path}?cascade=true")
    story.check()
    assert (user.status(path), story.driver.objects()) == ("gone", [])


@SQLITE
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "in-use", "attachments": 1}, "its status is 'in-use', and must be available, error, "),
        ({"attachments": 1}, "it has attachments (1); detach it first"),
        ({"migration_status": "migrating"}, "its migration is 'migrating'"),
        ({"group_id": "g"}, "it belongs to the group g"),
        ({"live_jobs": 1}, "other work on it is under way (1)"),
        ({"status": "extending", "attachments": 1}, "its status is 'extending', and must be available, error, error_restoring"),
    ],
)
def test_every_failing_condition_is_named(story: Story, user: Person, volume_id: str, values: dict[str, object], said: str) -> None:
    change(story, volume_id, **values)
    message = user.refused("DELETE", f"/volumes/{volume_id}")
    assert message.startswith(f"Delete volume {volume_id} is not possible now: ")
    assert said in message
    assert message.count("; ") == len(values) - 1 + ("attachments" in values), "and no other"


@SQLITE
def test_an_admin_deletes_for_others_and_they_are_told(story: Story, admin: Person, volume_id: str) -> None:
    story.fail_next("delete")
    story.person("admin", "office").delete(f"/volumes/{volume_id}")
    story.settle()
    [told] = story.all(messages)
    assert told["project_id"] == "p"
    story.person("admin", "office").delete(f"/volumes/{volume_id}")
    story.check()


# Extend


def test_a_failed_extension_gives_room_and_quota_back(story: Story, user: Person, volume_id: str) -> None:
    story.fail_next("extend")
    user.act(f"/volumes/{volume_id}", "os-extend", {"new_size": 5})
    pool = story.row(pools, "here@fake#fake")
    assert pool is not None
    assert pool["provisioned_gib"] == 5
    story.settle()
    shown = user.get(f"/volumes/{volume_id}")["volume"]
    assert (shown["status"], shown["size"]) == ("error_extending", 2)
    story.check()
    user.delete(f"/volumes/{volume_id}")
    story.check()


@SQLITE
def test_what_cannot_be_extended(story: Story, user: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}/action"
    for inner in ({"new_size": 2}, {"new_size": 0}, {"new_size": "x"}, {}, None):
        user.refused("POST", path, {"os-extend": inner})
    assert "must be greater than the current size (1 GiB given, 2 GiB now)" in user.refused("POST", path, {"os-extend": {"new_size": 1}})
    assert "no room" in user.refused("POST", path, {"os-extend": {"new_size": 10**6}})
    story.configure(gigabytes=4)
    assert "Quota exceeded for gigabytes" in story.person().refused("POST", path, {"os-extend": {"new_size": 5}}, status=413)
    story.configure(gigabytes=-1, per_volume_gigabytes=3)
    story.person().refused("POST", path, {"os-extend": {"new_size": 4}}, status=413)
    story.check()
    assert user.get(f"/volumes/{volume_id}")["volume"]["status"] == "available"


def test_in_use_is_extended_from_its_version_on(story: Story, user: Person, volume_id: str) -> None:
    story.attach(volume_id)
    old = story.person(version="3.41")
    said = old.refused("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 3}})
    assert said.endswith("its status is 'in-use', and must be available")
    user.act(f"/volumes/{volume_id}", "os-extend", {"new_size": 3})
    story.settle()
    assert (user.status(f"/volumes/{volume_id}"), user.get(f"/volumes/{volume_id}")["volume"]["size"]) == ("in-use", 3)
    story.check()


# Revert


def written(story: Story, volume_id: str, data: bytes | None = None) -> bytes:
    """What a guest reads of the volume's first bytes, after it wrote ``data``."""
    row = story.row(volumes, volume_id)
    assert row is not None
    if data is not None:
        story.driver.write(row["handle"], 0, data)
    return story.driver.read(row["handle"], 0, 5)


def test_a_reverted_volume_has_its_snapshot_s_bytes(story: Story, user: Person, volume_id: str) -> None:
    written(story, volume_id, b"first")
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    written(story, volume_id, b"later")
    user.act(f"/volumes/{volume_id}", "revert", {"snapshot_id": snapshot_id})
    assert (user.status(f"/volumes/{volume_id}"), user.status(f"/snapshots/{snapshot_id}")) == ("reverting", "restoring")
    assert "its status is 'restoring'" in user.refused("DELETE", f"/snapshots/{snapshot_id}")
    story.settle()
    assert (user.status(f"/volumes/{volume_id}"), user.status(f"/snapshots/{snapshot_id}")) == ("available", "available")
    assert written(story, volume_id) == b"first"
    story.check()


def test_a_failed_reversion_harms_the_volume_only(story: Story, user: Person, volume_id: str) -> None:
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    story.fail_next("revert")
    user.act(f"/volumes/{volume_id}", "revert", {"snapshot_id": snapshot_id})
    story.settle()
    assert (user.status(f"/volumes/{volume_id}"), user.status(f"/snapshots/{snapshot_id}")) == ("error", "available")
    row = story.row(snapshots, snapshot_id)
    assert row is not None
    assert (row["live_jobs"], row["running_job"], row["previous_status"]) == (0, None, None)
    story.check()


@SQLITE
def test_only_the_latest_snapshot_of_the_same_size_will_do(story: Story, user: Person, volume_id: str) -> None:
    first = user.snapshot(volume_id)
    story.settle()
    second = user.snapshot(volume_id)
    path = f"/volumes/{volume_id}"
    assert "is not the latest" in user.refused("POST", f"{path}/action", {"revert": {"snapshot_id": first}})
    said = user.refused("POST", f"{path}/action", {"revert": {"snapshot_id": second}})
    assert said.startswith(f"Revert volume with snapshot {second} is not possible now: the snapshot's status is 'creating', and must be av")
    story.settle()
    user.act(path, "os-extend", {"new_size": 3})
    story.settle()
    assert "a volume that was extended since" in user.refused("POST", f"{path}/action", {"revert": {"snapshot_id": second}})
    other = user.volume(size=3)
    story.settle()
    assert "is not the latest" in user.refused("POST", f"/volumes/{other}/action", {"revert": {"snapshot_id": second}})
    story.person(version="3.39").act(path, "revert", {"snapshot_id": second}, 404)
    assert [user.status(each) for each in (path, f"/snapshots/{second}")] == ["available", "available"]


def test_nobody_runs_it_and_everything_is_as_before(story: Story, user: Person, volume_id: str) -> None:
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    user.act(f"/volumes/{volume_id}", "revert", {"snapshot_id": snapshot_id})
    story.rescuer._rules = dataclasses.replace(story.rescuer._rules, orphan_timeout=-1)
    story.store.run("gone", _nobody_lives)
    story.rescuer.pass_once()
    assert (user.status(f"/volumes/{volume_id}"), user.status(f"/snapshots/{snapshot_id}")) == ("available", "available")
    assert "No live worker serves" in story.all(messages)[0]["text"]


def _nobody_lives(tx: Tx) -> None:
    tx.execute(sa.text("UPDATE workers SET state = 'gone'"))

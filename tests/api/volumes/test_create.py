"""What volumes are made from, and what is refused."""

from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.types.table import volume_types
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.tables.protocol import pools, quotas
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def fresh(story: Story, person: Person, **fields: Any) -> str:
    """A volume that is available."""
    volume_id = person.volume(**fields)
    story.settle()
    assert person.status(f"/volumes/{volume_id}") == "available"
    return volume_id


@SQLITE
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "size"),
        ({"size": 0}, "volume.size"),
        ({"size": -1}, "volume.size"),
        ({"size": "big"}, "volume.size"),
        ({"size": 1.5}, "volume.size"),
        ({"size": 2**40}, "volume.size"),
        ({"size": 1, "multiattach": True}, "volume type"),
        ({"size": 1, "imageRef": "x"}, "an image"),
        ({"size": 1, "metadata": {"k": 1}}, "metadata"),
        ({"size": 1, "name": "x" * 256}, "name"),
        ({"size": 1, "availability_zone": "mars"}, "'mars'"),
        ({"size": 1, "unknown": 1}, "unknown"),
        ({"size": 1, "scheduler_hints": {"same_host": 7}}, "same_host"),
    ],
)
def test_what_cannot_be_is_refused_and_costs_nothing(story: Story, user: Person, fields: dict[str, Any], said: str) -> None:
    assert said in user.refused("POST", "/volumes", {"volume": fields})
    assert story.all(volumes) == []
    assert story.all(quotas) == []


@SQLITE
def test_before_strict_schemas_unknown_keys_are_dropped(story: Story) -> None:
    old = story.person(version="3.52")
    made = old.post("/volumes", {"volume": {"size": "1", "unknown": 1, "display_name": "old", "display_description": "names"}})["volume"]
    assert (made["name"], made["description"], made["size"]) == ("old", "names", 1)


@SQLITE
def test_null_stands_for_what_was_left_out(story: Story, user: Person) -> None:
    nothing = dict.fromkeys(("name", "metadata", "snapshot_id", "source_volid", "imageRef", "backup_id", "consistencygroup_id"))
    user.post("/volumes", {"volume": {"size": 1, **nothing, "availability_zone": None, "volume_type": None}})


@SQLITE
def test_a_missing_type_or_source_is_not_found(user: Person) -> None:
    for fields in ({"volume_type": "none"}, {"snapshot_id": "0" * 32}, {"source_volid": "0" * 32}):
        user.post("/volumes", {"volume": {"size": 1, **fields}}, 404)


def test_a_volume_from_a_snapshot_pins_it_meanwhile(story: Story, user: Person) -> None:
    source = fresh(story, user, size=2)
    user.ask("POST", f"/volumes/{source}/action", {"os-set_bootable": {"bootable": True}}, status=200)
    user.ask("POST", f"/volumes/{source}/action", {"os-set_image_metadata": {"metadata": {"os": "debian"}}}, status=200)
    snapshot_id = user.snapshot(source)
    story.settle()
    assert "smaller" in user.refused("POST", "/volumes", {"volume": {"size": 1, "snapshot_id": snapshot_id}})
    made = user.post("/volumes", {"volume": {"snapshot_id": snapshot_id, "size": 3}})["volume"]
    assert (made["size"], made["snapshot_id"], made["bootable"], made["volume_image_metadata"]) == (
        3,
        snapshot_id,
        "true",
        {"os": "debian"},
    )
    assert story.row(snapshots, snapshot_id)["pins"] == 1  # type: ignore[index]
    assert "volumes are being made from it (1)" in user.refused("DELETE", f"/snapshots/{snapshot_id}")
    assert "volumes are being made from it (1)" in user.refused("DELETE", f"/volumes/{source}?cascade=true")
    story.settle()
    assert story.row(snapshots, snapshot_id)["pins"] == 0  # type: ignore[index]
    story.check()
    user.delete(f"/snapshots/{snapshot_id}")
    story.settle()
    for volume_id in (source, made["id"]):
        user.delete(f"/volumes/{volume_id}")
    story.check()
    assert story.driver.objects() == []


def test_a_clone_holds_its_source_s_lane_meanwhile(story: Story, user: Person) -> None:
    source = fresh(story, user, size=2)
    made = user.post("/volumes", {"volume": {"source_volid": source}})["volume"]
    assert (made["size"], made["source_volid"]) == (2, source)
    assert "other work on it is under way (1)" in user.refused("DELETE", f"/volumes/{source}")
    user.act(f"/volumes/{source}", "os-extend", {"new_size": 4})
    story.settle()
    assert user.get(f"/volumes/{made['id']}")["volume"]["size"] == 2, "the clone came first in the lane"
    assert story.row(volumes, source)["live_jobs"] == 0  # type: ignore[index]
    story.check()


@SQLITE
def test_a_source_in_a_wrong_state_is_named(story: Story, user: Person) -> None:
    source = user.volume()
    said = user.refused("POST", "/volumes", {"volume": {"source_volid": source, "size": 1}})
    assert said == f"Create volume {source} is not possible now: the source's status is 'creating', and must be available or in-use"


def test_a_failed_creation_leaves_right_counters_and_can_be_deleted(story: Story, user: Person, admin: Person) -> None:
    story.fail_next("create")
    volume_id = user.volume(size=4)
    story.settle()
    assert user.status(f"/volumes/{volume_id}") == "error"
    story.check()
    assert story.row(pools, "here@fake#fake")["provisioned_gib"] == 4, "the row is there, so it counts"  # type: ignore[index]
    user.delete(f"/volumes/{volume_id}")
    story.check()
    assert story.row(pools, "here@fake#fake")["provisioned_gib"] == 0  # type: ignore[index]


def test_a_volume_that_no_pool_takes_is_deleted_without_any_backend(story: Story, user: Person) -> None:
    volume_id = user.volume(size=10**9)
    story.settle()
    assert user.status(f"/volumes/{volume_id}") == "error"
    story.check()
    user.delete(f"/volumes/{volume_id}")
    while story.step(story.scheduler):
        pass
    assert user.status(f"/volumes/{volume_id}") == "gone"
    story.check()


@SQLITE
def test_hints_keep_volumes_near_and_apart(story: Story, user: Person) -> None:
    first = fresh(story, user)

    def made(name: str, ids: object, place: str = "OS-SCH-HNT:scheduler_hints") -> str:
        body = {"volume": {"size": 1}, place: {name: ids, "query": "whatever"}}
        volume_id = user.post("/volumes", body)["volume"]["id"]
        story.settle()
        return user.status(f"/volumes/{volume_id}")

    assert made("same_host", first) == "available"
    assert made("same_host", [first], "scheduler_hints") == "available"
    assert made("different_host", [first]) == "error"
    assert made("same_host", ["unknown"]) == "error"
    assert made("different_host", ["unknown"]) == "available"
    inside = user.volume(scheduler_hints={"different_host": [first]})
    story.settle()
    assert user.status(f"/volumes/{inside}") == "error", "some clients put hints into the volume"


@SQLITE
def test_a_hint_tells_nothing_of_other_projects(story: Story, user: Person) -> None:
    theirs = fresh(story, story.person("eve", "q"))
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {"different_host": theirs}}
    volume_id = user.post("/volumes", body)["volume"]["id"]
    story.settle()
    assert user.status(f"/volumes/{volume_id}") == "available"


@SQLITE
def test_the_zone_is_the_pool_s_and_a_copy_stays_in_it(story: Story, user: Person) -> None:
    source = fresh(story, user, availability_zone="nova")
    assert user.get(f"/volumes/{source}")["volume"]["availability_zone"] == "nova"
    assert "the zone of its source, nova" in user.refused(
        "POST", "/volumes", {"volume": {"source_volid": source, "availability_zone": "x"}}
    )
    user.post("/volumes", {"volume": {"source_volid": source, "availability_zone": "nova"}})
    story.check()


def test_over_quota_is_413_and_changes_nothing(story: Story) -> None:
    story.configure(volumes=1)
    limited = story.person()
    limited.volume()
    assert limited.refused("POST", "/volumes", {"volume": {"size": 1}}, status=413) == (
        "Quota exceeded for volumes: 1 asked, but 1 of 1 are in use already."
    )
    story.check()
    assert len(story.all(volumes)) == 1


@SQLITE
def test_a_type_decides_about_multiattach_and_sizes(story: Story, user: Person) -> None:
    specs = {"multiattach": "<is> True", "provisioning:max_vol_size": "5"}
    story.store.run("type", lambda tx: tx.execute(sa.update(volume_types).values(extra_specs=specs)))
    assert user.post("/volumes", {"volume": {"size": 5}})["volume"]["multiattach"] is True
    assert "at most 5 GiB" in user.refused("POST", "/volumes", {"volume": {"size": 6}})


@SQLITE
def test_multiattach_needs_its_right(story: Story) -> None:
    specs = {"multiattach": "<is> True"}
    story.store.run("type", lambda tx: tx.execute(sa.update(volume_types).values(extra_specs=specs)))
    story.allow(**{"volume:multiattach": "!"})
    assert "volume:multiattach" in story.person().refused("POST", "/volumes", {"volume": {"size": 1}}, status=403)
    assert story.all(volumes) == []

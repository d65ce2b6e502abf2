"""Volumes through the stock clients: made in every way, found, changed and deleted, and looked at by somebody else."""

from typing import Any

import pytest
from cinderclient.exceptions import BadRequest

from tests.support.clients import Cinder, Openstack
from tests.support.disk import GIB, Disk


def test_the_command_in_processes_of_its_own(command: Openstack, cinder: Cinder, disk: Disk, gone: Any, settled: Any) -> None:
    command.once("volume create", "--size 1 first")
    (made,) = cinder.volumes.list(search_opts={"name": "first"})
    assert settled(made.id)["status"] == "available"
    assert disk.image(made.id)["virtual-size"] == GIB
    assert "first" in command.once("volume list")
    assert made.id in command.once("volume show", "first")
    command.once("volume delete", "first")
    gone(made.id)
    assert cinder.volumes.list(search_opts={"name": "first"}) == []


def test_the_cinder_command_in_processes_of_its_own(command: Openstack, cinder: Cinder, disk: Disk, gone: Any, settled: Any) -> None:
    assert "second" in cinder.run("create", "--name", "second", "1")
    (row,) = (row for row in command("volume list") if row["Name"] == "second")
    assert settled(row["ID"])["status"] == "available"
    assert row["ID"] in cinder.run("list")
    assert row["ID"] in cinder.run("show", "second")
    cinder.run("extend", "second", "2")
    settled(row["ID"])
    assert disk.image(row["ID"])["virtual-size"] == 2 * GIB
    cinder.run("delete", "second")
    gone(row["ID"])


def test_create_with_everything(command: Openstack, cinder: Cinder, disk: Disk, gone: Any, settled: Any) -> None:
    options = "--size 2 --type __DEFAULT__ --description All --property colour=blue --property shape=round --availability-zone nova full"
    made = command("volume create", options)
    assert settled(made["id"])["status"] == "available"
    seen = cinder.volumes.get(made["id"])
    assert (seen.name, seen.description, seen.size, seen.volume_type) == ("full", "All", 2, "__DEFAULT__")
    assert seen.metadata == {"colour": "blue", "shape": "round"}
    assert seen.availability_zone == "nova"
    assert disk.image(made["id"])["virtual-size"] == 2 * GIB
    command("volume delete", "full")
    gone(made["id"])


def test_create_bootable_and_read_only_in_one_command(command: Openstack, cinder: Cinder, gone: Any) -> None:
    made = command("volume create", "--size 1 --bootable --read-only image")
    seen = cinder.volumes.get(made["id"])
    assert (seen.status, seen.bootable, seen.metadata["readonly"]) == ("available", "true", "True")
    command("volume delete", "--force image")
    gone(made["id"])


def test_create_from_a_snapshot_and_from_a_volume(
    command: Openstack, cinder: Cinder, cloud: Any, disk: Disk, gone: Any, settled: Any
) -> None:
    source = cinder.volumes.create(1, name="source")
    settled(source.id)
    snapshot = command("volume snapshot create", "--volume source point")
    settled(snapshot["id"], "snapshots")
    restored = command("volume create", "--snapshot point --size 2 restored")
    cloned = cloud.create_volume(size=1, name="cloned", source_volume_id=source.id)
    assert settled(restored["id"])["status"] == settled(cloned.id)["status"] == "available"
    assert cinder.volumes.get(restored["id"]).snapshot_id == snapshot["id"]
    assert cinder.volumes.get(cloned.id).source_volid == source.id
    assert (disk.image(restored["id"])["virtual-size"], disk.image(cloned.id)["virtual-size"]) == (2 * GIB, GIB)
    assert cloud.get_volume(cloned.id).source_volume_id == source.id
    command("volume delete", "restored cloned")
    gone(restored["id"])
    gone(cloned.id)
    with pytest.raises(BadRequest, match="snapshot"):
        cinder.volumes.delete(source.id)
    command("volume delete", "--cascade source")
    gone(source.id, layers=True)
    assert disk.images(snapshot["id"]) == []
    assert cinder.volume_snapshots.list(search_opts={"volume_id": source.id}) == []


def test_set_and_unset_by_the_command(command: Openstack, cinder: Cinder, gone: Any, settled: Any) -> None:
    made = command("volume create", "--size 1 --property old=1 plain")
    settled(made["id"])
    command("volume set", "--name fancy --description Nice --property colour=red --image-property os=linux plain")
    seen = cinder.volumes.get(made["id"])
    assert (seen.name, seen.description, seen.metadata) == ("fancy", "Nice", {"old": "1", "colour": "red"})
    assert seen.volume_image_metadata == {"os": "linux"}
    command("volume unset", "--property old --image-property os fancy")
    seen = cinder.volumes.get(made["id"])
    assert seen.metadata == {"colour": "red"}
    assert getattr(seen, "volume_image_metadata", {}) == {}
    command("volume set", "--no-property fancy")
    assert cinder.volumes.get(made["id"]).metadata == {}
    shown = command("volume show", "fancy")
    assert (shown["name"], shown["properties"], shown["status"]) == ("fancy", {}, "available")
    command("volume delete", "fancy")
    gone(made["id"])


def test_update_and_metadata_by_cinderclient(cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> None:
    made = cinder.volumes.create(1, name="before", metadata={"a": "1"})
    settled(made.id)
    cinder.volumes.update(made.id, name="after", description="Changed")
    assert (cloud.get_volume(made.id).name, cloud.get_volume(made.id).description) == ("after", "Changed")
    cinder.volumes.set_metadata(made.id, {"b": "2", "c": "3"})
    assert cloud.fetch_volume_metadata(made.id).metadata == {"a": "1", "b": "2", "c": "3"}
    cinder.volumes.delete_metadata(made.id, ["a"])
    assert cloud.get_volume(made.id).metadata == {"b": "2", "c": "3"}
    cinder.volumes.update_all_metadata(made.id, {"only": "this"})
    assert cloud.get_volume(made.id).metadata == {"only": "this"}
    assert cloud.find_volume("after").id == made.id
    cinder.volumes.delete(made.id)
    gone(made.id)


def test_update_and_metadata_by_openstacksdk(cloud: Any, cinder: Cinder, gone: Any, settled: Any) -> None:
    made = cloud.create_volume(size=1, name="sdk", metadata={"a": "1"})
    settled(made.id)
    cloud.update_volume(made.id, name="renamed", description="By the library")
    assert (cinder.volumes.get(made.id).name, cinder.volumes.get(made.id).description) == ("renamed", "By the library")
    cloud.set_volume_metadata(made.id, b="2")
    assert cinder.volumes.get(made.id).metadata == {"a": "1", "b": "2"}
    cloud.delete_volume_metadata(made.id, ["a"])
    assert cinder.volumes.get(made.id).metadata == {"b": "2"}
    cloud.set_volume_image_metadata(made.id, arch="x86")
    assert cinder.volumes.get(made.id).volume_image_metadata == {"arch": "x86"}
    cloud.delete_volume_image_metadata(made.id, ["arch"])
    assert not hasattr(cinder.volumes.get(made.id), "volume_image_metadata")
    assert made.id in [volume.id for volume in cloud.volumes(name="renamed")]
    cloud.delete_volume(made.id)
    gone(made.id)


def test_delete_by_force(command: Openstack, cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> None:
    made = [cinder.volumes.create(1, name=f"stuck-{number}") for number in range(3)]
    for each in made:
        settled(each.id)
        cloud.reset_volume_status(each.id, status="error_deleting", attach_status=None, migration_status=None)
        assert cinder.volumes.get(each.id).status == "error_deleting"
    command("volume delete", "--force stuck-0")
    cinder.volumes.force_delete(made[1].id)
    cloud.delete_volume(made[2].id, force=True)
    for each in made:
        gone(each.id)
    assert cinder.volumes.list(search_opts={"name": "stuck-1"}) == []


def test_lists_are_filtered_sorted_and_paged(command: Openstack, cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> None:
    made = [cinder.volumes.create(size, name=f"page-{size}", metadata={"page": "yes"}) for size in (2, 1, 3)]
    for each in made:
        settled(each.id)
    by_size = [volume.size for volume in cinder.volumes.list(search_opts={"metadata": {"page": "yes"}}, sort="size:asc")]
    assert by_size == [1, 2, 3]
    paged = cinder.volumes.list(search_opts={"metadata": {"page": "yes"}}, sort="size:desc", limit=2)
    assert [volume.size for volume in paged] == [3, 2]
    one_by_one = cloud.volumes(limit=1)
    assert {volume.id for volume in one_by_one} >= {each.id for each in made}
    assert len(one_by_one) == len({volume.id for volume in one_by_one})
    rows = command("volume list", "--long --status available --limit 50")
    assert [row["Size"] for row in rows if row["Name"].startswith("page")] == [3, 1, 2]
    assert [row["Name"] for row in command("volume list", "--name page-3")] == ["page-3"]
    for each in made:
        cloud.delete_volume(each.id)
        gone(each.id)


def test_the_summary_adds_up(command: Openstack, cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> None:
    before = cinder.volumes.summary(all_tenants=False)["volume-summary"]["total_size"]
    made = cloud.create_volume(size=3, name="summed", metadata={"sum": "yes"})
    assert cinder.volumes.summary(all_tenants=False)["volume-summary"]["total_size"] == before + 3
    assert cloud.summary(all_projects=False).total_size == before + 3
    shown = command("volume summary")
    assert (shown["Total Size"], shown["Metadata"]["sum"]) == (before + 3, ["yes"])
    settled(made.id)
    cloud.delete_volume(made.id)
    gone(made.id)

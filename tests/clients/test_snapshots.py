"""Snapshots through the stock clients."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clients import Cinder, Openstack


@pytest.fixture
def volume(cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> Iterator[Any]:
    """An available volume; gone, with its snapshots, after the test."""
    made = cinder.volumes.create(1, name="snapped")
    settled(made.id)
    yield made
    cloud.delete_volume(made.id, cascade=True)
    gone(made.id, layers=True)


def test_the_command(volume: Any, command: Openstack, cinder: Cinder, gone: Any, settled: Any) -> None:
    made = command("volume snapshot create", f"--volume {volume.id} --description One --property a=1 one")
    settled(made["id"], "snapshots")
    seen = cinder.volume_snapshots.get(made["id"])
    assert (seen.name, seen.description, seen.metadata, seen.status) == ("one", "One", {"a": "1"}, "available")
    assert (seen.volume_id, seen.size) == (volume.id, 1)
    command("volume snapshot set", "--name uno --description Uno --property b=2 one")
    seen = cinder.volume_snapshots.get(made["id"])
    assert (seen.name, seen.description, seen.metadata) == ("uno", "Uno", {"a": "1", "b": "2"})
    command("volume snapshot unset", "--property a uno")
    assert cinder.volume_snapshots.get(made["id"]).metadata == {"b": "2"}
    command("volume snapshot set", "--state error uno")
    assert cinder.volume_snapshots.get(made["id"]).status == "error"
    assert command("volume snapshot show", "uno")["properties"] == {"b": "2"}
    assert [row["ID"] for row in command("volume snapshot list", f"--volume {volume.id}")] == [made["id"]]
    assert made["id"] in cinder.run("snapshot-list")
    command("volume snapshot delete", "uno")
    gone(made["id"], "snapshots")
    assert cinder.volume_snapshots.list(search_opts={"volume_id": volume.id}) == []


def test_cinderclient(volume: Any, cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> None:
    made = cinder.volume_snapshots.create(volume.id, name="two", description="Two", metadata={"a": "1"})
    settled(made.id, "snapshots")
    assert (cloud.get_snapshot(made.id).name, cloud.get_snapshot(made.id).metadata) == ("two", {"a": "1"})
    cinder.volume_snapshots.update(made.id, name="due", description="Due")
    assert (cloud.get_snapshot(made.id).name, cloud.get_snapshot(made.id).description) == ("due", "Due")
    cinder.volume_snapshots.set_metadata(made.id, {"b": "2"})
    assert cloud.get_snapshot(made.id).metadata == {"a": "1", "b": "2"}
    cinder.volume_snapshots.delete_metadata(made.id, ["a"])
    assert cloud.get_snapshot(made.id).metadata == {"b": "2"}
    cinder.volume_snapshots.reset_state(made.id, "error")
    assert cloud.get_snapshot(made.id).status == "error"
    cinder.volume_snapshots.delete(made.id, force=True)
    gone(made.id, "snapshots")
    assert made.id not in [snapshot.id for snapshot in cloud.snapshots()]


def test_openstacksdk(volume: Any, cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> None:
    made = cloud.create_snapshot(volume_id=volume.id, name="three", metadata={"a": "1"})
    settled(made.id, "snapshots")
    assert cinder.volume_snapshots.get(made.id).metadata == {"a": "1"}
    cloud.update_snapshot(made.id, name="tre", description="Tre")
    assert (cinder.volume_snapshots.get(made.id).name, cinder.volume_snapshots.get(made.id).description) == ("tre", "Tre")
    cloud.set_snapshot_metadata(made.id, b="2")
    assert cinder.volume_snapshots.get(made.id).metadata == {"a": "1", "b": "2"}
    cloud.delete_snapshot_metadata(made.id, ["b"])
    assert cinder.volume_snapshots.get(made.id).metadata == {"a": "1"}
    cloud.reset_snapshot_status(made.id, "error")
    assert cinder.volume_snapshots.get(made.id).status == "error"
    cloud.delete_snapshot(made.id)
    gone(made.id, "snapshots")
    assert cinder.volume_snapshots.list(search_opts={"volume_id": volume.id}) == []

"""What is done to a volume that exists: grown, reset, flagged, reverted; each change confirmed by another client or on the disk."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from cinderclient.exceptions import BadRequest

from tests.support.clients import Cinder, Openstack
from tests.support.disk import GIB, Disk

CONNECTOR = {"host": "somewhere", "ip": "127.0.0.1", "initiator": "iqn.1994-05.org:somewhere", "platform": "x86_64", "os_type": "linux"}


@pytest.fixture
def volume(cinder: Cinder, cloud: Any, gone: Any, settled: Any) -> Iterator[Any]:
    """An available volume of 1 GiB; gone, with its snapshots, after the test."""
    made = cinder.volumes.create(1, name="changing")
    settled(made.id)
    yield made
    cloud.delete_volume(made.id, cascade=True)
    gone(made.id, layers=True)


def io(uri: str, *commands: str) -> str:
    """Let qemu-io do something with an export; what it prints."""
    words = ["qemu-io", "-f", "raw", *(word for command in commands for word in ("-c", command)), uri]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_client_extends_an_available_volume(
    volume: Any, command: Openstack, cinder: Cinder, cloud: Any, disk: Disk, settled: Any
) -> None:
    command("volume set", f"--size 2 {volume.id}")
    settled(volume.id)
    assert disk.image(volume.id)["virtual-size"] == 2 * GIB
    assert cinder.volumes.get(volume.id).size == 2
    cinder.volumes.extend(volume.id, 3)
    settled(volume.id)
    assert disk.image(volume.id)["virtual-size"] == 3 * GIB
    cloud.extend_volume(volume.id, 4)
    settled(volume.id)
    assert disk.image(volume.id)["virtual-size"] == 4 * GIB
    with pytest.raises(BadRequest):
        cinder.volumes.extend(volume.id, 4)


def test_an_attached_volume_is_extended_under_its_client(volume: Any, command: Openstack, cinder: Cinder, disk: Disk, settled: Any) -> None:
    attachment = cinder.attachments.create(volume.id, CONNECTOR, mode="rw")
    uri = attachment["connection_info"]["uri"]
    cinder.attachments.complete(attachment["id"])
    io(uri, "write -P 90 0 1M")
    command("volume set", f"--size 2 {volume.id}")
    assert settled(volume.id)["status"] == "in-use"
    assert disk.served(uri)["export-size"] == 2 * GIB
    io(uri, "read -P 90 0 1M", "write -P 91 1536M 1M")
    cinder.attachments.delete(attachment["id"])
    assert not disk.daemon(volume.id)
    assert disk.image(volume.id)["virtual-size"] == 2 * GIB


def test_states_are_reset(volume: Any, command: Openstack, cinder: Cinder, cloud: Any) -> None:
    command("volume set", f"--state error {volume.id}")
    assert cinder.volumes.get(volume.id).status == "error"
    cinder.volumes.reset_state(volume.id, "maintenance")
    assert cloud.get_volume(volume.id).status == "maintenance"
    cloud.reset_volume_status(volume.id, status="available", attach_status="detached", migration_status=None)
    assert cinder.volumes.get(volume.id).status == "available"


def test_the_bootable_and_read_only_flags(volume: Any, command: Openstack, cinder: Cinder, cloud: Any, disk: Disk) -> None:
    command("volume set", f"--bootable {volume.id}")
    assert cinder.volumes.get(volume.id).bootable == "true"
    cinder.volumes.set_bootable(volume.id, False)
    assert cloud.get_volume(volume.id).is_bootable is False
    cloud.set_volume_bootable_status(volume.id, True)
    assert cinder.volumes.get(volume.id).bootable == "true"
    cloud.set_volume_readonly(volume.id, True)
    assert cinder.volumes.get(volume.id).metadata == {"readonly": "True"}
    attachment = cinder.attachments.create(volume.id, CONNECTOR, mode="null")
    assert disk.served(attachment["connection_info"]["uri"])["is_read_only"] is True
    cinder.attachments.delete(attachment["id"])
    cinder.volumes.update_readonly_flag(volume.id, False)
    assert cloud.get_volume(volume.id).metadata == {"readonly": "False"}
    command("volume set", f"--read-only {volume.id}")
    assert cinder.volumes.get(volume.id).metadata == {"readonly": "True"}


@pytest.mark.parametrize("client", ["openstack", "cinderclient", "openstacksdk"])
def test_revert_brings_the_bytes_back(
    volume: Any, command: Openstack, cinder: Cinder, cloud: Any, disk: Disk, settled: Any, client: str
) -> None:
    written(cinder, volume.id, "write -P 17 0 64k")
    snapshot = cinder.volume_snapshots.create(volume.id, name=f"before-{client}")
    settled(snapshot.id, "snapshots")
    written(cinder, volume.id, "write -P 18 0 64k")
    if client == "openstack":
        command("volume revert", f"before-{client}")
    elif client == "cinderclient":
        cinder.volumes.revert_to_snapshot(cinder.volumes.get(volume.id), cinder.volume_snapshots.get(snapshot.id))
    else:
        cloud.revert_volume_to_snapshot(volume.id, snapshot.id)
    assert settled(volume.id)["status"] == "available"
    assert "Pattern verification failed" not in written(cinder, volume.id, "read -P 17 0 64k")
    assert disk.image(volume.id)["virtual-size"] == GIB
    assert cloud.get_snapshot(snapshot.id).status == settled(snapshot.id, "snapshots")["status"] == "available"


def written(cinder: Cinder, volume_id: str, action: str) -> str:
    """Attach the volume, let qemu-io do ``action``, and detach it."""
    attachment = cinder.attachments.create(volume_id, CONNECTOR, mode="rw")
    said = io(attachment["connection_info"]["uri"], action, "flush")
    cinder.attachments.delete(attachment["id"])
    return said

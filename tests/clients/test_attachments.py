"""Attachments, and the older attach actions, through the stock clients; daemons and exports are looked at on the machine."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from cinderclient.exceptions import NotFound

from tests.support.clients import Cinder, Openstack
from tests.support.disk import GIB, Disk
from tests.support.service import await_

CONNECTOR = {"host": "somewhere", "ip": "127.0.0.1", "initiator": "iqn.1994-05.org:somewhere", "platform": "x86_64", "os_type": "linux"}


@pytest.fixture
def volume(cinder: Cinder, cloud: Any, disk: Disk, gone: Any, settled: Any) -> Iterator[Any]:
    """An available volume; the test must have detached it."""
    made = cinder.volumes.create(1, name="attached")
    settled(made.id)
    yield made
    assert not disk.daemon(made.id)
    cloud.delete_volume(made.id)
    gone(made.id)


def test_cinderclient(volume: Any, cinder: Cinder, cloud: Any, disk: Disk) -> None:
    server = str(uuid.uuid4())
    made = cinder.attachments.create(volume.id, None, server, mode="null")
    assert (cloud.get_attachment(made["id"]).status, cloud.get_volume(volume.id).status) == ("reserved", "reserved")
    info = cinder.attachments.update(made["id"], CONNECTOR).connection_info
    assert info["attachment_id"] == made["id"]
    assert disk.served(info["uri"])["export-size"] == GIB
    assert disk.daemon(volume.id)
    assert cloud.get_attachment(made["id"]).status == "attaching"
    cinder.attachments.complete(made["id"])
    assert (cloud.get_attachment(made["id"]).status, cloud.get_volume(volume.id).status) == ("attached", "in-use")
    (inside,) = cloud.get_volume(volume.id).attachments
    assert (inside["attachment_id"], inside["server_id"], inside["host_name"]) == (made["id"], server, "somewhere")
    assert [each.id for each in cinder.attachments.list(search_opts={"volume_id": volume.id})] == [made["id"]]
    assert made["id"] in cinder.run("attachment-list")
    assert cinder.attachments.show(made["id"]).status == "attached"
    cinder.attachments.delete(made["id"])
    assert cloud.get_volume(volume.id).status == "available"
    assert not disk.daemon(volume.id)


def test_openstacksdk(volume: Any, cinder: Cinder, cloud: Any, disk: Disk) -> None:
    server = str(uuid.uuid4())
    made = cloud.create_attachment(volume.id, connector=None, instance=server)
    assert cinder.attachments.show(made.id).status == "reserved"
    connected = cloud.update_attachment(made.id, connector=CONNECTOR)
    assert disk.served(connected.connection_info["uri"])["export-size"] == GIB
    cloud.complete_attachment(made.id)
    assert (cinder.attachments.show(made.id).status, cinder.volumes.get(volume.id).status) == ("attached", "in-use")
    assert [each.instance for each in cloud.attachments(volume_id=volume.id)] == [server]
    cloud.delete_attachment(made.id)
    assert not disk.daemon(volume.id)
    assert cinder.volumes.get(volume.id).attachments == []


def test_the_command(volume: Any, command: Openstack, cinder: Cinder, disk: Disk) -> None:
    made = cinder.attachments.create(volume.id, None, str(uuid.uuid4()), mode="null")
    shown = command("volume attachment show", made["id"])
    assert (shown["Status"], shown["Volume ID"]) == ("reserved", volume.id)
    command("volume attachment set", f"--host somewhere --ip 127.0.0.1 --initiator iqn.1994-05.org:x {made['id']}")
    assert cinder.attachments.show(made["id"]).status == "attaching"
    assert disk.daemon(volume.id)
    command("volume attachment complete", made["id"])
    assert cinder.volumes.get(volume.id).status == "in-use"
    (row,) = command("volume attachment list", f"--volume-id {volume.id}")
    assert (row["ID"], row["Status"]) == (made["id"], "attached")
    command("volume attachment delete", made["id"])
    assert not disk.daemon(volume.id)
    with pytest.raises(NotFound):
        cinder.attachments.show(made["id"])
    assert cinder.volumes.get(volume.id).status == "available"


def test_the_older_actions_of_cinderclient(volume: Any, cinder: Cinder, cloud: Any, disk: Disk) -> None:
    server = str(uuid.uuid4())
    cinder.volumes.reserve(volume.id)
    assert cloud.get_volume(volume.id).status == "attaching"
    cinder.volumes.unreserve(volume.id)
    assert cloud.get_volume(volume.id).status == "available"
    cinder.volumes.reserve(volume.id)
    info = cinder.volumes.initialize_connection(volume.id, CONNECTOR)
    assert info["driver_volume_type"] == "nbd"
    assert disk.served(info["data"]["uri"])["export-size"] == GIB
    cinder.volumes.attach(volume.id, server, "/dev/vdb", mode="rw", host_name="somewhere")
    (inside,) = cloud.get_volume(volume.id).attachments
    assert (inside["server_id"], inside["device"], cloud.get_volume(volume.id).status) == (server, "/dev/vdb", "in-use")
    cinder.volumes.begin_detaching(volume.id)
    assert cloud.get_volume(volume.id).status == "detaching"
    cinder.volumes.roll_detaching(volume.id)
    assert cloud.get_volume(volume.id).status == "in-use"
    cinder.volumes.begin_detaching(volume.id)
    cinder.volumes.terminate_connection(volume.id, CONNECTOR)
    assert not disk.daemon(volume.id)
    cinder.volumes.detach(volume.id, inside["attachment_id"])
    assert (cloud.get_volume(volume.id).status, cloud.get_volume(volume.id).attachments) == ("available", [])


def test_the_older_actions_of_openstacksdk(volume: Any, cinder: Cinder, cloud: Any, disk: Disk) -> None:
    server = str(uuid.uuid4())
    cloud.reserve_volume(volume.id)
    assert cinder.volumes.get(volume.id).status == "attaching"
    cloud.unreserve_volume(volume.id)
    assert cinder.volumes.get(volume.id).status == "available"
    cloud.reserve_volume(volume.id)
    cloud.init_volume_attachment(volume.id, CONNECTOR)
    await_(lambda: disk.daemon(volume.id), 5)
    cloud.attach_volume(volume.id, "/dev/vdc", instance=server)
    assert cinder.volumes.get(volume.id).status == "in-use"
    cloud.begin_volume_detaching(volume.id)
    assert cinder.volumes.get(volume.id).status == "detaching"
    cloud.abort_volume_detaching(volume.id)
    assert cinder.volumes.get(volume.id).status == "in-use"
    cloud.terminate_volume_attachment(volume.id, CONNECTOR)
    assert not disk.daemon(volume.id)
    (inside,) = cinder.volumes.get(volume.id).attachments
    cloud.detach_volume(volume.id, inside["attachment_id"])
    assert cinder.volumes.get(volume.id).status == "available"


def test_two_servers_share_a_multiattach_volume(
    cinder: Cinder, cloud: Any, command: Openstack, disk: Disk, gone: Any, settled: Any
) -> None:
    command("volume type create", "--multiattach shared")
    made = cinder.volumes.create(1, name="together", volume_type="shared")
    assert settled(made.id)["multiattach"] is True
    one, two = (cinder.attachments.create(made.id, CONNECTOR | {"host": f"host-{n}"}, str(uuid.uuid4()), mode="null") for n in (1, 2))
    cinder.attachments.complete(one["id"])
    cinder.attachments.complete(two["id"])
    assert len(cloud.get_volume(made.id).attachments) == 2
    assert disk.daemon(made.id)
    cinder.attachments.delete(one["id"])
    assert disk.daemon(made.id)
    cinder.attachments.delete(two["id"])
    assert not disk.daemon(made.id)
    cloud.delete_volume(made.id)
    gone(made.id)
    command("volume type delete", "shared")
    assert "shared" not in [kind.name for kind in cinder.volume_types.list()]

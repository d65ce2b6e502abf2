"""Volume types and their extra specs, made by one client and seen by another."""

from typing import Any

import pytest
from cinderclient.exceptions import NotFound

from tests.support.clients import Cinder, Openstack
from tests.support.disk import Disk


def test_the_command_makes_changes_and_removes_a_type(command: Openstack, cinder: Cinder) -> None:
    made = command("volume type create", "--description Quick --property volume_backend_name=second --public quick")
    seen = cinder.volume_types.get(made["id"])
    assert (seen.name, seen.description, seen.is_public) == ("quick", "Quick", True)
    assert seen.extra_specs == {"volume_backend_name": "second"}
    command("volume type set", "--name quicker --property tier=gold quick")
    seen = cinder.volume_types.get(made["id"])
    assert (seen.name, seen.extra_specs) == ("quicker", {"volume_backend_name": "second", "tier": "gold"})
    command("volume type unset", "--property tier quicker")
    assert cinder.volume_types.get(made["id"]).extra_specs == {"volume_backend_name": "second"}
    assert command("volume type show", "quicker")["properties"] == {"volume_backend_name": "second"}
    assert "quicker" in [row["Name"] for row in command("volume type list")]
    command("volume type delete", "quicker")
    with pytest.raises(NotFound):
        cinder.volume_types.get(made["id"])
    assert made["id"] not in [kind.id for kind in cinder.volume_types.list()]


def test_cinderclient_makes_changes_and_removes_a_type(cinder: Cinder, cloud: Any) -> None:
    made = cinder.volume_types.create("slow", description="Patient", is_public=True)
    assert cloud.get_type(made.id).description == "Patient"
    cinder.volume_types.update(made.id, name="slower", is_public=False)
    assert (cloud.get_type(made.id).name, cloud.get_type(made.id).is_public) == ("slower", False)
    cinder.on(cinder.volume_types.get(made.id), "set_keys")({"tier": "lead", "colour": "grey"})
    assert cloud.get_type(made.id).extra_specs == {"tier": "lead", "colour": "grey"}
    cinder.on(cinder.volume_types.get(made.id), "unset_keys")(["tier"])
    assert cloud.get_type(made.id).extra_specs == {"colour": "grey"}
    assert cinder.volume_types.default().name == "__DEFAULT__"
    assert "slower" in cinder.run("type-list")
    assert "colour" in cinder.run("extra-specs-list")
    cinder.volume_types.delete(made.id)
    assert made.id not in [kind.id for kind in cloud.types(is_public=None)]


def test_openstacksdk_makes_changes_and_removes_a_type(cloud: Any, cinder: Cinder) -> None:
    made = cloud.create_type(name="plain", description="Nothing special")
    assert cinder.volume_types.get(made.id).description == "Nothing special"
    cloud.update_type(made.id, description="Special")
    assert cinder.volume_types.get(made.id).description == "Special"
    cloud.update_type_extra_specs(made.id, volume_backend_name="local", tier="tin")
    assert cinder.volume_types.get(made.id).extra_specs == {"volume_backend_name": "local", "tier": "tin"}
    cloud.delete_type_extra_specs(made.id, ["tier"])
    assert cinder.volume_types.get(made.id).extra_specs == {"volume_backend_name": "local"}
    assert cloud.find_type("plain").id == made.id
    cloud.delete_type(made.id)
    assert cloud.find_type("plain", ignore_missing=True) is None
    assert "plain" not in [kind.name for kind in cinder.volume_types.list()]


@pytest.mark.parametrize("backend", ["local", "second"])
def test_a_type_chooses_the_backend(command: Openstack, cloud: Any, disk: Disk, gone: Any, settled: Any, backend: str) -> None:
    command("volume type create", f"--property volume_backend_name={backend} on-{backend}")
    made = cloud.create_volume(size=1, name="placed", volume_type=f"on-{backend}")
    assert settled(made.id)["status"] == "available"
    assert disk.backend(made.id) == backend
    cloud.delete_volume(made.id)
    gone(made.id)
    command("volume type delete", f"on-{backend}")
    assert disk.images(made.id) == []

"""Services, pools, limits, quotas, zones, extensions and versions, as the stock clients see and change them."""

from typing import Any

from tests.support.clients import Cinder, Openstack
from tests.support.disk import Disk
from tests.support.service import await_

PROJECT = "demo"


def services(cinder: Cinder) -> dict[str, str]:
    """Status of each volume service by host."""
    return {each.host.partition("@")[2]: each.status for each in cinder.services.list(binary="cinder-volume")}


def host_of(cinder: Cinder, backend: str) -> str:
    (found,) = (each.host for each in cinder.services.list(binary="cinder-volume") if each.host.endswith(f"@{backend}"))
    return found


def test_a_disabled_service_gets_no_volumes(command: Openstack, cinder: Cinder, cloud: Any, disk: Disk, gone: Any, settled: Any) -> None:
    host = host_of(cinder, "second")
    command("volume service set", f"--disable --disable-reason repair {host} cinder-volume")
    assert services(cinder) == {"local": "enabled", "second": "disabled"}
    assert [row["Status"] for row in command("volume service list", f"--host {host}")] == ["disabled"]
    made = [cloud.create_volume(size=1, name=f"elsewhere-{number}") for number in range(3)]
    assert [settled(each.id)["status"] for each in made] == ["available"] * 3
    assert [disk.backend(each.id) for each in made] == ["local"] * 3
    command("volume service set", f"--enable {host} cinder-volume")
    assert services(cinder) == {"local": "enabled", "second": "enabled"}
    for each in made:
        cloud.delete_volume(each.id)
        gone(each.id)


def test_cinderclient_switches_a_service(cinder: Cinder, cloud: Any) -> None:
    host = host_of(cinder, "local")
    cinder.services.disable(host, "cinder-volume")
    assert {each.host: each.status for each in cloud.services()}[host] == "disabled"
    cinder.services.disable_log_reason(host, "cinder-volume", "new disks")
    assert {each.host: each.disabled_reason for each in cloud.services()}[host] == "new disks"
    cinder.services.enable(host, "cinder-volume")
    assert {each.host: each.status for each in cloud.services()}[host] == "enabled"
    assert "cinder-scheduler" in cinder.run("service-list")


def test_openstacksdk_switches_a_service(cloud: Any, cinder: Cinder) -> None:
    host = host_of(cinder, "local")
    cloud.disable_service(cloud.find_service("cinder-volume", host=host), reason="moving")
    assert services(cinder)["local"] == "disabled"
    cloud.enable_service(cloud.find_service("cinder-volume", host=host))
    assert services(cinder)["local"] == "enabled"


def test_quotas_are_shown_set_and_reset(cinder: Cinder, cloud: Any) -> None:
    before = cloud.get_quota_set(PROJECT)
    cinder.quotas.update("other", volumes=3, gigabytes=30)
    seen = cloud.get_quota_set("other")
    assert (seen.volumes, seen.gigabytes) == (3, 30)
    cloud.update_quota_set("other", snapshots=4)
    assert cinder.quotas.get("other").snapshots == 4
    assert cinder.quotas.get("other", usage=True).volumes["limit"] == 3
    assert cinder.quotas.defaults("other").volumes == cloud.get_quota_set_defaults("other").volumes == 10
    cinder.quotas.delete("other")
    assert cloud.get_quota_set("other").volumes == 10
    cinder.quotas.update("other", volumes=5)
    assert cloud.get_quota_set("other").volumes == 5
    cloud.revert_quota_set("other")
    assert cinder.quotas.get("other").volumes == 10
    assert cloud.get_quota_set(PROJECT).volumes == before.volumes == 200
    assert "gigabytes" in cinder.run("quota-show", PROJECT)


def test_limits_follow_what_is_used(cinder: Cinder, cloud: Any, settled: Any, gone: Any) -> None:
    def used() -> tuple[int, int]:
        found = {each.name: each.value for each in cinder.limits.get().absolute}
        return found["totalVolumesUsed"], found["totalGigabytesUsed"]

    volumes, gigabytes = used()
    made = cloud.create_volume(size=2, name="counted")
    assert used() == (volumes + 1, gigabytes + 2)
    limits = cloud.get_limits().absolute
    assert (limits.max_total_volumes, limits.total_volumes_used) == (200, volumes + 1)
    assert "maxTotalVolumes" in cinder.run("absolute-limits")
    settled(made.id)
    cloud.delete_volume(made.id)
    gone(made.id)
    await_(lambda: used() == (volumes, gigabytes), 10)


def test_pools_and_capabilities_agree(command: Openstack, cinder: Cinder, cloud: Any) -> None:
    pools = {row["Name"] for row in command("volume backend pool list", "--long")}
    assert pools == {pool.name for pool in cinder.pools.list(detailed=True)} == {pool.name for pool in cloud.backend_pools()}
    assert {name.partition("@")[2] for name in pools} == {"local#local", "second#second"}
    host = host_of(cinder, "local")
    keys = {row["Key"] for row in command("volume backend capability show", host)}
    assert keys == set(cinder.capabilities.get(host).properties) == set(cloud.get_capabilities(host).properties)
    assert "local#local" in cinder.run("get-pools")


def test_zones_and_extensions_agree(command: Openstack, cinder: Cinder, cloud: Any) -> None:
    zones = [row["Zone Name"] for row in command("availability zone list", "--volume")]
    assert zones == [zone.zoneName for zone in cinder.availability_zones.list()] == [zone.name for zone in cloud.availability_zones()]
    aliases = {row["Alias"] for row in command("extension list", "--volume")}
    assert aliases == {each.alias for each in cloud.extensions()}
    assert {"os-quota-sets", "os-types-extra-specs"} <= aliases


def test_every_client_finds_the_versions(cinder: Cinder, cloud: Any) -> None:
    assert cinder.services.server_api_version()[0].version == "3.71"
    assert "3.71" in cinder.run("version-list")
    assert cloud.get_endpoint_data().max_microversion == (3, 71)

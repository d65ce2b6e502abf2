"""Stories of services, pools, zones and extensions, over HTTP."""

from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.api.routes import ROUTES
from breezeblock.resources.pools import rules as pools
from breezeblock.resources.services.table import services
from breezeblock.scheduler.choose import choose
from breezeblock.scheduler.model import Wanted
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import workers
from tests.support.api import Client, application
from tests.support.rows import add_pools, add_service, add_type, add_worker

DISABLE = {"host": "h1@b1", "binary": "cinder-volume"}


@pytest.fixture
def app(store: Store) -> Any:
    """Two hosts with one backend each, a scheduler beside the first; the second host's worker was fenced."""
    first = add_worker(store, "h1", "scheduler", "volume:h1@b1")
    second = add_worker(store, "h2", "volume:h2@b1", state="fenced")
    add_service(store, "h1", binary="cinder-scheduler", worker_id=first)
    add_service(store, "h1@b1", zone="z1", worker_id=first)
    add_service(store, "h2@b1", zone="z2", worker_id=second)
    add_pools(store, "h1@b1#p", "h2@b1#p")
    return application(store, ROUTES)


@pytest.fixture
def admin(app: Any) -> Client:
    return Client(app, "admin:p1")


def at(app: Any, version: str) -> Client:
    return Client(app, "admin:p1", {"OpenStack-API-Version": f"volume {version}"})


def listed(client: Client, query: str = "") -> dict[str, dict[str, Any]]:
    answer = client.get(f"/v3/os-services{query}")
    assert answer.status_code == 200, answer.text
    return {found["host"]: found for found in answer.json["services"]}


def test_who_is_up_is_read_from_the_workers(admin: Client, store: Store) -> None:
    found = listed(admin)
    assert {host: service["state"] for host, service in found.items()} == {"h1": "up", "h1@b1": "up", "h2@b1": "down"}
    store.run("fence", lambda tx: tx.execute(sa.update(workers).values(state="fenced")))
    assert {service["state"] for service in listed(admin).values()} == {"down"}
    add_worker(store, "h3", "volume:h1@b1")
    assert listed(admin)["h1@b1"]["state"] == "down", "a worker of another host is not this service"
    add_worker(store, "h1", "volume:h1@b1")
    assert listed(admin)["h1@b1"]["state"] == "up"


def test_a_service_in_every_version(app: Any) -> None:
    base = {
        "binary": "cinder-volume",
        "host": "h1@b1",
        "zone": "z1",
        "status": "enabled",
        "state": "up",
        "updated_at": "2026-01-01T12:00:00.000000",
        "disabled_reason": None,
        "replication_status": "disabled",
        "active_backend_id": None,
        "frozen": False,
    }
    assert listed(at(app, "3.6"))["h1@b1"] == base
    assert listed(at(app, "3.7"))["h1@b1"] == base | {"cluster": None}
    assert listed(at(app, "3.49"))["h1@b1"] == base | {"cluster": None, "backend_state": "up"}
    scheduler = listed(at(app, "3.71"))["h1"]
    assert scheduler["binary"] == "cinder-scheduler"
    assert "backend_state" not in scheduler
    assert "frozen" not in scheduler


def test_services_by_host_and_binary(admin: Client) -> None:
    assert set(listed(admin, "?host=h1")) == {"h1", "h1@b1"}
    assert set(listed(admin, "?host=h1@b1")) == {"h1@b1"}
    assert set(listed(admin, "?binary=cinder-volume")) == {"h1@b1", "h2@b1"}
    assert set(listed(admin, "?host=h_")) == set()


def test_disable_and_enable_take_effect(admin: Client, store: Store) -> None:
    """The row, the list, the scheduler and the zones: an answer alone proves nothing."""

    def refusals() -> list[str]:
        choice = choose(store.read("pools", pools.known), Wanted(1))
        return [reason.text for reason in choice.refused.get("h1@b1#p", ())]

    def row() -> Any:
        wanted = sa.select(services.c.disabled, services.c.disabled_reason).where(services.c.host == "h1@b1")
        return tuple(store.read("row", lambda tx: tx.execute(wanted).one()))

    assert refusals() == []
    answer = admin.send("PUT", "/v3/os-services/disable", json=DISABLE)
    assert (answer.status_code, answer.json) == (200, DISABLE | {"service": "cinder-volume", "disabled": True, "status": "disabled"})
    assert row() == (True, None)
    assert listed(admin)["h1@b1"]["status"] == "disabled"
    assert refusals() == ["the service of h1@b1 is disabled"]

    answer = admin.send("PUT", "/v3/os-services/disable-log-reason", json=DISABLE | {"disabled_reason": "new disks"})
    assert (answer.status_code, answer.json["disabled_reason"]) == (200, "new disks")
    assert row() == (True, "new disks")
    assert listed(admin)["h1@b1"]["disabled_reason"] == "new disks"
    assert refusals() == ["the service of h1@b1 is disabled: new disks"]
    add_service(store, "h1@b1", zone="z1", worker_id="the next incarnation")
    assert row() == (True, "new disks"), "a restart of the worker does not enable it"

    answer = admin.send("PUT", "/v3/os-services/enable", json=DISABLE)
    assert (answer.status_code, answer.json["status"], answer.json["disabled"]) == (200, "enabled", False)
    assert row() == (False, None)
    assert listed(admin)["h1@b1"]["status"] == "enabled"
    assert refusals() == []


def test_what_switches_nothing(admin: Client, app: Any) -> None:
    def put(verb: str, body: Any) -> int:
        return int(admin.send("PUT", f"/v3/os-services/{verb}", json=body).status_code)

    assert put("disable", {"host": "h9", "binary": "cinder-volume"}) == 404
    assert put("disable", {"host": "h1@b1"}) == put("disable", {"binary": "cinder-volume"}) == put("enable", []) == 400
    assert put("disable-log-reason", DISABLE) == put("disable-log-reason", DISABLE | {"disabled_reason": ""}) == 400
    assert put("enable", {"host": "h1@b1", "service": "cinder-volume"}) == 200, "the binary's older name"
    user = Client(app, "user:p1")
    assert user.get("/v3/os-services").status_code == user.send("PUT", "/v3/os-services/disable", json=DISABLE).status_code == 403
    assert {service["status"] for service in listed(admin).values()} == {"enabled"}


def test_pools(admin: Client, app: Any) -> None:
    assert admin.get("/v3/scheduler-stats/get_pools").json == {"pools": [{"name": "h1@b1#p"}, {"name": "h2@b1#p"}]}
    first, second = admin.get("/v3/scheduler-stats/get_pools?detail=True").json["pools"]
    facts = first["capabilities"]
    expected = {
        "total_capacity_gb": 100.0,
        "free_capacity_gb": 80.0,
        "allocated_capacity_gb": 20.0,
        "provisioned_capacity_gb": 0,
        "reserved_percentage": 10,
        "max_over_subscription_ratio": 2.0,
        "thin_provisioning_support": True,
        "thick_provisioning_support": False,
        "storage_protocol": "nbd",
        "volume_backend_name": "b1",
        "pool_name": "p",
        "timestamp": "2026-01-01T12:00:00",
        "backend_state": "up",
        "multiattach": False,
    }
    assert {name: facts[name] for name in expected} == expected
    assert {"vendor_name", "driver_version", "QoS_support"} <= facts.keys()
    assert second["capabilities"]["backend_state"] == "down"
    assert Client(app, "user:p1").get("/v3/scheduler-stats/get_pools").status_code == 403


def test_pools_by_capability_and_by_type(admin: Client, app: Any, store: Store) -> None:
    add_pools(store, "h2@b1#p", capabilities={"storage_protocol": "iscsi"}, thin=False)
    add_type(store, "blocks", extra_specs={"storage_protocol": "iscsi", "thin_provisioning_support": "<is> False"})

    def pools_of(client: Client, query: str) -> list[str]:
        answer = client.get(f"/v3/scheduler-stats/get_pools?{query}")
        assert answer.status_code == 200, answer.text
        return [pool["name"] for pool in answer.json["pools"]]

    assert pools_of(admin, "storage_protocol=iscsi") == ["h2@b1#p"]
    assert pools_of(admin, "name=h1@b1%23p") == pools_of(admin, "name=h1@b1") == ["h1@b1#p"]
    assert pools_of(admin, "thin_provisioning_support=True&detail=True") == ["h1@b1#p"]
    assert pools_of(at(app, "3.27"), "storage_protocol=iscsi") == ["h1@b1#p", "h2@b1#p"]
    assert pools_of(admin, "volume_type=blocks") == ["h2@b1#p"]
    assert pools_of(at(app, "3.34"), "volume_type=blocks") == ["h1@b1#p", "h2@b1#p"]
    assert admin.get("/v3/scheduler-stats/get_pools?volume_type=none").status_code == 404


def test_capabilities_of_a_backend(admin: Client, app: Any) -> None:
    answer = admin.get("/v3/capabilities/h1@b1")
    assert answer.status_code == 200
    shown = answer.json
    assert (shown["namespace"], shown["volume_backend_name"], shown["pool_name"]) == ("OS::Storage::Capabilities::h1@b1", "b1", "p")
    assert (shown["storage_protocol"], shown["replication_targets"]) == ("nbd", [])
    assert shown["properties"]["thin_provisioning_support"]["type"] == "boolean"
    assert admin.get("/v3/capabilities/h9@b1").status_code == 404
    assert Client(app, "user:p1").get("/v3/capabilities/h1@b1").status_code == 403


def test_availability_zones(admin: Client, app: Any) -> None:
    def zones() -> dict[str, bool]:
        answer = Client(app, "user:p1").get("/v3/os-availability-zone")
        assert answer.status_code == 200
        return {zone["zoneName"]: zone["zoneState"]["available"] for zone in answer.json["availabilityZoneInfo"]}

    assert zones() == {"z1": True, "z2": True}
    admin.send("PUT", "/v3/os-services/disable", json=DISABLE)
    assert zones() == {"z1": False, "z2": True}


def test_extensions(admin: Client) -> None:
    found = admin.get("/v3/extensions").json["extensions"]
    assert {"os-quota-sets", "os-services", "scheduler-stats", "os-types-manage"} <= {one["alias"] for one in found}
    assert admin.get("/v3/extensions/os-services").json["extension"] in found
    assert admin.get("/v3/extensions/os-nothing").status_code == 404

"""Stories of quotas and limits, over HTTP."""

from typing import Any

import pytest

from breezeblock import errors
from breezeblock.api.routes import ROUTES
from breezeblock.config import QuotaDefaults, Settings
from breezeblock.resources.quotas import rules
from breezeblock.store.engine import Store
from tests.support.api import Client, application
from tests.support.rows import add_type

SETTINGS = Settings(quota=QuotaDefaults(volumes=7))
DEFAULTS = {
    "volumes": 7,
    "snapshots": 10,
    "gigabytes": 1000,
    "groups": 10,
    "backups": 10,
    "backup_gigabytes": 1000,
    "per_volume_gigabytes": -1,
}


def of_type(name: str, limit: Any = -1) -> dict[str, Any]:
    return {f"{kind}_{name}": limit for kind in ("volumes", "snapshots", "gigabytes")}


ALL = DEFAULTS | of_type("__DEFAULT__")


@pytest.fixture
def app(store: Store) -> Any:
    return application(store, ROUTES, settings=SETTINGS)


@pytest.fixture
def admin(app: Any) -> Client:
    return Client(app, "admin:p1")


@pytest.fixture
def user(app: Any) -> Client:
    return Client(app, "user:p1")


def put(client: Client, quota_set: Any, project: str = "p1", query: str = "") -> Any:
    return client.send("PUT", f"/v3/os-quota-sets/{project}{query}", json={"quota_set": quota_set})


def use(store: Store, deltas: dict[str, int]) -> None:
    store.run("use", lambda tx: rules.charge(tx, "p1", deltas, SETTINGS.quota))


def test_limits_of_ones_own_and_their_end(admin: Client, user: Client) -> None:
    path = "/v3/os-quota-sets/p1"
    assert user.get(path).json == {"quota_set": {"id": "p1", **ALL}}
    answer = put(admin, {"tenant_id": "p1", "volumes": 20, "gigabytes": "-1", "volumes___DEFAULT__": 3})
    changed = ALL | {"volumes": 20, "gigabytes": -1, "volumes___DEFAULT__": 3}
    assert (answer.status_code, answer.json) == (200, {"quota_set": changed})
    assert user.get(path).json == {"quota_set": {"id": "p1", **changed}}
    assert user.get(f"{path}/defaults").json == admin.get("/v3/os-quota-sets/p2").json | {"quota_set": {"id": "p1", **ALL}}
    gone = admin.send("DELETE", path)
    assert (gone.status_code, gone.content) == (200, b"")
    assert user.get(path).json == {"quota_set": {"id": "p1", **ALL}}


def test_usage(store: Store, admin: Client, user: Client) -> None:
    kind = add_type(store, "gold")
    use(store, rules.of_volume(5, kind))
    use(store, rules.of_snapshot(5, kind, counts_gib=True))
    put(admin, {"gigabytes_gold": 12})
    shown = user.get("/v3/os-quota-sets/p1?usage=True").json["quota_set"]
    assert shown.pop("id") == "p1"
    assert {name: one["in_use"] for name, one in shown.items() if one["in_use"]} == {
        "volumes": 1,
        "snapshots": 1,
        "gigabytes": 10,
        "volumes_gold": 1,
        "snapshots_gold": 1,
        "gigabytes_gold": 10,
    }
    assert shown["gigabytes_gold"] == {"limit": 12, "in_use": 10, "reserved": 0}
    assert {one["reserved"] for one in shown.values()} == {0}
    assert user.get("/v3/os-quota-sets/p1?usage=False").json["quota_set"]["gigabytes_gold"] == 12


def test_a_renamed_type_keeps_its_counters(store: Store, admin: Client) -> None:
    kind = add_type(store, "gold")
    use(store, rules.of_volume(5, kind))
    assert admin.send("PUT", f"/v3/types/{kind}", json={"volume_type": {"name": "brass"}}).status_code == 200
    shown = admin.get("/v3/os-quota-sets/p1?usage=True").json["quota_set"]
    assert shown["gigabytes_brass"]["in_use"] == 5
    assert "gigabytes_gold" not in shown


def test_users_do_not_learn_of_private_types(store: Store, admin: Client, user: Client) -> None:
    add_type(store, "secret", is_public=False)
    assert "volumes_secret" in admin.get("/v3/os-quota-sets/p1").json["quota_set"]
    assert "volumes_secret" not in user.get("/v3/os-quota-sets/p1").json["quota_set"]


def test_a_limit_holds(store: Store, admin: Client) -> None:
    assert put(admin, {"volumes": 1}).status_code == 200
    use(store, {"volumes": 1})
    with pytest.raises(errors.OverQuota, match="1 of 1"):
        use(store, {"volumes": 1})
    assert put(admin, {"volumes": 2}).status_code == 200
    use(store, {"volumes": 1})
    assert put(admin, {"volumes": 0}).status_code == 200, "as a limit below what is in use takes nothing away"
    refused = put(admin, {"volumes": 1}, query="?skip_validation=False")
    assert refused.status_code == 400
    assert "in use, 2" in refused.json["badRequest"]["message"]
    assert put(admin, {"volumes": -1, "gigabytes": 0}, query="?skip_validation=False").status_code == 200


@pytest.mark.parametrize(
    "sent", [{"volumes": -2}, {"volumes": 2**31}, {"volumes": "many"}, {"volumes": 1.5}, {"volumes_none": 1}, {"nonsense": 1}, [], None]
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_sets_no_limit(admin: Client, sent: Any) -> None:
    assert put(admin, sent).status_code == 400
    assert admin.get("/v3/os-quota-sets/p1").json["quota_set"] == {"id": "p1", **ALL}


def test_who_may(admin: Client, user: Client, app: Any) -> None:
    assert user.get("/v3/os-quota-sets/p2").status_code == user.get("/v3/os-quota-sets/p2/defaults").status_code == 403
    assert put(user, {"volumes": 9}).status_code == user.send("DELETE", "/v3/os-quota-sets/p1").status_code == 403
    assert admin.get("/v3/os-quota-sets/p2?usage=True").status_code == 200


def test_limits(store: Store, admin: Client, user: Client, app: Any) -> None:
    use(store, rules.of_volume(5, None))
    put(admin, {"gigabytes": 50})
    mine = {
        "maxTotalVolumes": 7,
        "maxTotalSnapshots": 10,
        "maxTotalVolumeGigabytes": 50,
        "maxTotalBackups": 10,
        "maxTotalBackupGigabytes": 1000,
        "totalVolumesUsed": 1,
        "totalSnapshotsUsed": 0,
        "totalGigabytesUsed": 5,
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    }
    assert user.get("/v3/limits").json == {"limits": {"rate": [], "absolute": mine}}
    other = Client(app, "admin:p2")
    assert other.get("/v3/limits?project_id=p1").json["limits"]["absolute"] == mine
    assert other.get("/v3/limits?tenant_id=p1").json["limits"]["absolute"] == mine
    old = Client(app, "admin:p2", {"OpenStack-API-Version": "volume 3.38"})
    assert old.get("/v3/limits?project_id=p1").json["limits"]["absolute"]["totalVolumesUsed"] == 0
    assert Client(app, "user:p2").get("/v3/limits?project_id=p1").json["limits"]["absolute"]["totalVolumesUsed"] == 0

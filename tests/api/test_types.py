"""Stories of volume types and their extra specs, over HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.api.routes import ROUTES
from breezeblock.resources.types import rules
from breezeblock.resources.types.table import volume_types
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import quotas
from tests.support.api import Client, application
from tests.support.rows import add_snapshot, add_type, add_volume, volume_row

OLD = {"OpenStack-API-Version": "volume 3.0"}


@pytest.fixture
def app(store: Store) -> Any:
    return application(store, ROUTES)


@pytest.fixture
def admin(app: Any) -> Client:
    return Client(app, "admin:p1")


@pytest.fixture
def user(app: Any) -> Client:
    return Client(app, "user:p1")


def names(client: Client, query: str = "") -> set[str]:
    answer = client.get(f"/v3/types{query}")
    assert answer.status_code == 200, answer.text
    return {found["name"] for found in answer.json["volume_types"]} - {"__DEFAULT__"}


def create(admin: Client, name: str, **fields: Any) -> dict[str, Any]:
    answer = admin.post("/v3/types", {"volume_type": {"name": name, **fields}})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json["volume_type"]
    return found


def test_the_life_of_a_type(admin: Client, user: Client) -> None:
    made = create(admin, "gold", description="fast", extra_specs={"volume_backend_name": "g", "multiattach": "<is> True"})
    assert made == {
        "id": made["id"],
        "name": "gold",
        "description": "fast",
        "is_public": True,
        "os-volume-type-access:is_public": True,
        "extra_specs": {"volume_backend_name": "g", "multiattach": "<is> True"},
        "qos_specs_id": None,
    }
    path = f"/v3/types/{made['id']}"
    assert admin.get(path).json["volume_type"] == made
    assert admin.get("/v3/types/gold").json["volume_type"] == made
    changed = admin.send("PUT", path, json={"volume_type": {"name": "platinum", "description": None, "is_public": False}})
    assert (changed.status_code, changed.json["volume_type"]["name"]) == (200, "platinum")
    assert admin.get(path).json["volume_type"] == made | {"name": "platinum", "is_public": False, "os-volume-type-access:is_public": False}
    assert user.get(path).status_code == 404
    gone = admin.send("DELETE", path)
    assert (gone.status_code, gone.content) == (202, b"")
    assert admin.get(path).status_code == admin.send("DELETE", path).status_code == 404


def test_users_see_public_types_and_what_speaks_to_them(admin: Client, user: Client) -> None:
    public = create(admin, "open", extra_specs={"volume_backend_name": "g", "RESKEY:availability_zones": "z1"})
    private = create(admin, "closed", **{"os-volume-type-access:is_public": False})
    shown = user.get(f"/v3/types/{public['id']}").json["volume_type"]
    assert shown["extra_specs"] == {"RESKEY:availability_zones": "z1"}
    assert "qos_specs_id" not in shown
    assert user.get(f"/v3/types/{public['id']}/extra_specs").json == {"extra_specs": {"RESKEY:availability_zones": "z1"}}
    assert user.get(f"/v3/types/{public['id']}/extra_specs/volume_backend_name").status_code == 404
    assert user.get(f"/v3/types/{private['id']}").status_code == user.get(f"/v3/types/{private['id']}/extra_specs").status_code == 404
    assert names(user) == names(user, "?is_public=false") == names(admin) == {"open"}
    assert names(admin, "?is_public=None") == {"open", "closed"}
    assert names(admin, "?is_public=false") == {"closed"}
    assert admin.get("/v3/types?is_public=perhaps").status_code == 400


def test_users_change_nothing(store: Store, user: Client) -> None:
    path = f"/v3/types/{add_type(store, 'gold', extra_specs={'a': 'b'})}"
    assert user.post("/v3/types", {"volume_type": {"name": "x"}}).status_code == 403
    assert user.send("PUT", path, json={"volume_type": {"name": "x"}}).status_code == 403
    assert user.send("DELETE", path).status_code == 403
    assert user.post(f"{path}/extra_specs", {"extra_specs": {"a": "c"}}).status_code == 403
    assert user.send("PUT", f"{path}/extra_specs/a", json={"a": "c"}).status_code == 403
    assert user.send("DELETE", f"{path}/extra_specs/a").status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        {"name": ""},
        {"name": "   "},
        {"name": None},
        {"description": "no name"},
        {"name": "x" * 256},
        {"name": "x", "description": "x" * 256},
        {"name": "x", "unknown": 1},
        {"name": "x", "os-volume-type-access:is_public": "perhaps"},
        {"name": "x", "extra_specs": {"a/b": "c"}},
        {"name": "x", "extra_specs": {"a": "x" * 256}},
        {"name": "x", "extra_specs": {"provisioning:min_vol_size": "many"}},
        {"name": "x", "extra_specs": {"provisioning:min_vol_size": "5", "provisioning:max_vol_size": "4"}},
        {"name": "x", "extra_specs": {"RESKEY:availability_zones": "a,,b"}},
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_makes_no_type(admin: Client, sent: dict[str, Any]) -> None:
    assert admin.post("/v3/types", {"volume_type": sent}).status_code == 400


def test_a_name_is_taken_once_however_many_ask(admin: Client, store: Store) -> None:
    barrier = threading.Barrier(6)

    def ask(_: int) -> int:
        barrier.wait(20)
        return int(admin.post("/v3/types", {"volume_type": {"name": "gold"}}).status_code)

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(ask, range(6), timeout=60)) == [200, 409, 409, 409, 409, 409]
    other = add_type(store, "silver")
    taken = admin.send("PUT", f"/v3/types/{other}", json={"volume_type": {"name": "gold"}})
    assert taken.status_code == 409
    assert admin.send("PUT", f"/v3/types/{other}", json={"volume_type": {"name": "silver"}}).status_code == 200
    assert admin.send("PUT", f"/v3/types/{other}", json={"volume_type": {"name": None}}).status_code == 400
    assert admin.send("PUT", f"/v3/types/{other}", json={"volume_type": {"name": " "}}).status_code == 400


def test_the_default_type(admin: Client, user: Client, store: Store) -> None:
    assert user.get("/v3/types/default").status_code == 200, "it always exists"
    made = user.get("/v3/types/default").json["volume_type"]
    assert made["name"] == "__DEFAULT__"
    path = f"/v3/types/{made['id']}"
    assert admin.send("DELETE", path).status_code == 400
    assert admin.send("PUT", path, json={"volume_type": {"name": "other"}}).status_code == 400
    assert admin.send("PUT", path, json={"volume_type": {"description": "plain"}}).json["volume_type"]["description"] == "plain"


def test_extra_specs_one_by_one(admin: Client, store: Store) -> None:
    path = f"/v3/types/{add_type(store, 'gold')}/extra_specs"
    added = admin.post(path, {"extra_specs": {"a": "1", "capabilities:b": "<is> True"}})
    assert (added.status_code, added.json) == (200, {"extra_specs": {"a": "1", "capabilities:b": "<is> True"}})
    assert admin.post(path, {"extra_specs": {"a": "2"}}).json == {"extra_specs": {"a": "2"}}
    assert admin.get(path).json == {"extra_specs": {"a": "2", "capabilities:b": "<is> True"}}
    assert admin.get(f"{path}/capabilities:b").json == {"capabilities:b": "<is> True"}
    assert admin.send("PUT", f"{path}/a", json={"a": "3"}).json == {"a": "3"}
    assert admin.send("PUT", f"{path}/a", json={"b": "3"}).status_code == 400
    assert admin.send("PUT", f"{path}/a", json={"a": "3", "b": "4"}).status_code == 400
    assert admin.send("DELETE", f"{path}/capabilities:b").status_code == 202
    assert admin.send("DELETE", f"{path}/capabilities:b").status_code == 404
    assert admin.get(f"{path}/capabilities:b").status_code == 404
    assert admin.get(path).json == {"extra_specs": {"a": "3"}}
    assert admin.post(path, {"extra_specs": {"provisioning:max_vol_size": "0"}}).status_code == 400
    assert admin.post("/v3/types/no-such/extra_specs", {"extra_specs": {}}).status_code == 404


def test_a_type_in_use_is_kept_as_it_is(admin: Client, store: Store) -> None:
    by_volume, by_snapshot = add_type(store, "gold"), add_type(store, "silver", extra_specs={"a": "b"})
    add_volume(store, volume_type_id=by_volume)
    add_snapshot(store, add_volume(store), volume_type_id=by_snapshot)
    for used in (by_volume, by_snapshot):
        refused = admin.send("DELETE", f"/v3/types/{used}")
        assert refused.status_code == 400
        assert "there are volumes or snapshots of it" in refused.json["badRequest"]["message"]
        assert admin.post(f"/v3/types/{used}/extra_specs", {"extra_specs": {"a": "1"}}).status_code == 400
        assert admin.send("PUT", f"/v3/types/{used}", json={"volume_type": {"name": f"new {used[:4]}"}}).status_code == 200
    assert admin.send("DELETE", f"/v3/types/{by_snapshot}/extra_specs/a").status_code == 400


def test_deleting_a_type_takes_its_counters_along(admin: Client, store: Store) -> None:
    kind = add_type(store, "gold")
    assert admin.send("PUT", "/v3/os-quota-sets/p1", json={"quota_set": {"volumes_gold": 3}}).status_code == 200
    assert admin.send("DELETE", f"/v3/types/{kind}").status_code == 202
    left = store.read("left", lambda tx: tx.execute(sa.select(quotas.c.resource).where(quotas.c.project_id == "p1")).scalars().all())
    assert left == []


def test_filters_paging_and_sorting(app: Any, admin: Client, user: Client, store: Store) -> None:
    for number in range(5):
        add_type(store, f"kind {number}", extra_specs={"multiattach": "<is> True"} if number % 2 else {"secret": "x"})
    page = admin.get("/v3/types?limit=2&sort=name:asc&name~=kind").json
    assert [found["name"] for found in page["volume_types"]] == ["kind 0", "kind 1"]
    [link] = page["volume_types_links"]
    following = admin.get(link["href"].partition("http://falconframework.org")[2]).json
    assert [found["name"] for found in following["volume_types"]] == ["kind 2", "kind 3"]
    assert names(admin, "?name=kind 3") == names(admin, "?name~=d 3") == {"kind 3"}
    assert names(admin, "?name~=KIND") == set(), "the same on every database"
    assert names(user, "?extra_specs={'multiattach':'<is> True'}") == {"kind 1", "kind 3"}
    assert names(admin, "?extra_specs={'secret':'x'}") == {"kind 0", "kind 2", "kind 4"}
    assert names(user, "?extra_specs={'secret':'x'}") == set(), "users cannot guess what they may not read"
    assert len(Client(app, "admin:p1", OLD).get("/v3/types?extra_specs={'secret':'x'}").json["volume_types"]) >= 5
    assert admin.get("/v3/types?extra_specs=nonsense").status_code == 400
    assert admin.get("/v3/types?nonsense=1").status_code == 400


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
def test_a_volume_being_made_keeps_its_type(admin: Client, store: Store) -> None:
    """Write skew, provoked: the delete waits for the maker of a volume, and then sees the volume."""
    kind, deleting = add_type(store, "gold"), threading.Event()

    def make(tx: Tx) -> None:
        assert rules.find(tx, kind, hold=True) is not None
        if not deleting.is_set():
            deleting.set()
            blocked = threads.submit(admin.send, "DELETE", f"/v3/types/{kind}")
            answers.append(blocked)
            with pytest.raises(TimeoutError):
                blocked.result(0.3)
        tx.execute(sa.insert(volumes), volume_row(volume_type_id=kind))

    answers: list[Any] = []
    with ThreadPoolExecutor(1) as threads:
        store.run("make", make)
        assert answers[0].result(20).status_code == 400
    assert store.read("left", lambda tx: tx.execute(sa.select(volume_types.c.id).where(volume_types.c.id == kind)).scalar()) == kind

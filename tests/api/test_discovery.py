"""Version discovery and health: what is read before any token is there."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from breezeblock.config import ApiSettings, Settings
from breezeblock.core.clock import SystemClock
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import workers
from tests.support.api import Client, application

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/v3", 200), ("/v3/", 200)])
def test_the_versions_document(store: Store, path: str, status: int) -> None:
    answer = Client(application(store), headers={}).get(path)
    assert answer.status_code == status
    [version] = answer.json["versions"]
    assert (version["id"], version["status"]) == ("v3.0", "CURRENT")
    assert (version["min_version"], version["version"]) == ("3.0", "3.71")
    assert {"rel": "self", "href": "http://falconframework.org/v3/"} in version["links"]


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"Host": "cloud:8776"}, "http://cloud:8776"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example.org"}, "https://cloud.example.org"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "c", "X-Forwarded-Prefix": "/volume/"}, "https://c/volume"),
        ({"Forwarded": "proto=https;host=c"}, "https://c"),
        ({"X-Forwarded-Host": "evil<script>"}, "http://falconframework.org"),
        ({"X-Forwarded-Prefix": "//evil"}, "http://falconframework.org"),
    ],
)
def test_links_start_where_the_client_is(store: Store, headers: dict[str, str], base: str) -> None:
    document = Client(application(store), headers={}).get("/", headers=headers).json
    assert document["versions"][0]["links"][1]["href"] == f"{base}/v3/"


def test_a_configured_endpoint_wins(store: Store) -> None:
    app = application(store, settings=Settings(api=ApiSettings(public_endpoint="https://public/volume/")))
    document = Client(app, headers={}).get("/", headers={"X-Forwarded-Host": "c"}).json
    assert document["versions"][0]["links"][1]["href"] == "https://public/volume/v3/"
    assert Client(app).get("/v3/p1/echo/x").json["url"] == "https://public/volume/v3/p1"


def register(store: Store, queues: list[str], state: str = "live") -> None:
    row = {
        "id": f"{state}-{queues[0]}",
        "host": "h",
        "process": "p",
        "state": state,
        "beat": 0,
        "solo": False,
        "queues": queues,
        "kinds": {},
    }
    store.run("register", lambda tx: tx.execute(sa.insert(workers).values(**row, started_at=SystemClock().utcnow())))


def test_health_needs_a_live_volume_worker(store: Store) -> None:
    client = Client(application(store), headers={})
    register(store, ["scheduler"])
    register(store, ["volume:h@old"], "fenced")
    answer = client.get("/healthcheck")
    assert (answer.status_code, answer.text) == (503, "no volume worker is live\n")
    register(store, ["volume:h@file"])
    answer = client.get("/healthcheck")
    assert (answer.status_code, answer.text) == (200, "OK\n")
    assert client.get("/healthcheck", headers={"Accept": "application/json"}).json == {"healthy": True, "reason": "OK"}
    assert client.send("HEAD", "/healthcheck").status_code == 200


def test_health_needs_the_database(database: str, tmp_path: Path) -> None:
    answer = Client(application(Store(f"sqlite:///{tmp_path}/missing/x.db", name="api")), headers={}).get("/healthcheck")
    assert (answer.status_code, answer.text) == (503, "the database does not answer\n")

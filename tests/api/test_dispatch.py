"""A request's way: versions, callers, routes, bodies, errors, and what every answer carries."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock import logs
from breezeblock.config import ApiSettings, Settings
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store
from tests.support.api import Client, application

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
REQUEST_ID = re.compile(r"req-[0-9a-f-]{36}")


@pytest.fixture
def client(store: Store) -> Client:
    return Client(application(store))


def fault(answer: Any, name: str, code: int) -> str:
    """The message of a fault in the shape that clients parse."""
    assert answer.status_code == code
    assert list(answer.json) == [name]
    assert answer.json[name]["code"] == code
    return str(answer.json[name]["message"])


def test_a_write_and_a_read(client: Client) -> None:
    made = client.post("/v3/p1/widgets", {"widget": {"size": "3", "name": " w "}})
    assert made.status_code == 202
    widget_id = made.json["widget"]["id"]
    assert made.json == {"widget": {"id": widget_id, "size": 3, "name": "w"}}
    assert made.headers["location"] == f"http://falconframework.org/v3/p1/widgets/{widget_id}"
    assert client.get(f"/v3/p1/widgets/{widget_id}").json["widget"]["name"] == "w"
    assert client.get(f"/v3/widgets/{widget_id}/").json["widget"]["name"] == "w"


def test_what_every_answer_carries(client: Client) -> None:
    for path in ("/v3/p1/widgets", "/v3/p1/nowhere", "/v3/p1/broken"):
        answer = client.get(path, headers={"OpenStack-API-Version": "volume 3.44"})
        assert REQUEST_ID.fullmatch(answer.headers["x-openstack-request-id"])
        assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]
        assert answer.headers["openstack-api-version"] == "volume 3.44"
        assert "OpenStack-API-Version" in answer.headers["vary"]
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        (None, "3.0"),
        ("", "3.0"),
        ("compute 2.1", "3.0"),
        ("volume 3.5", "3.5"),
        ("compute 2.1, volume 3.5", "3.5"),
        ("volume  3.71 ", "3.71"),
        ("VOLUME latest", "3.71"),
        ("block-storage 3.9", "3.9"),
    ],
)
def test_the_version_that_is_asked_for_is_the_version_that_answers(store: Store, asked: str | None, got: str) -> None:
    client = Client(application(store), headers={} if asked is None else {"OpenStack-API-Version": asked})
    assert client.get("/v3/widgets").headers["openstack-api-version"] == f"volume {got}"


@pytest.mark.parametrize("asked", ["volume 3.72", "volume 2.0", "volume 4.1", "volume 999999999.999999999"])
def test_a_version_out_of_range_is_not_acceptable(client: Client, asked: str) -> None:
    message = fault(client.get("/v3/widgets", headers={"OpenStack-API-Version": asked}), "computeFault", 406)
    assert message == f"Version {asked.split()[1]} is not supported by the API. Minimum is 3.0 and maximum is 3.71."


@pytest.mark.parametrize("asked", ["volume 3", "volume", "volume x.y", "volume 3.\u0661", "volume 3.1.1", "volume -3.1", "volume 03.1"])
def test_a_malformed_version_is_a_bad_request(client: Client, asked: str) -> None:
    fault(client.get("/v3/widgets", headers={"OpenStack-API-Version": asked.encode().decode("latin-1")}), "badRequest", 400)


def test_the_paths_project_must_be_the_tokens(client: Client) -> None:
    assert "Malformed request url" in fault(client.get("/v3/p2/widgets"), "badRequest", 400)


def test_a_row_of_another_project_is_forbidden(client: Client, store: Store) -> None:
    widget_id = client.post("/v3/widgets", {"widget": {"size": 1}}).json["widget"]["id"]
    other = Client(application(store), "user:p2")
    assert fault(other.get(f"/v3/widgets/{widget_id}"), "forbidden", 403) == "Policy does not allow volume:get to be performed."
    assert Client(application(store), "admin:p2").get(f"/v3/widgets/{widget_id}").status_code == 200


def test_what_is_not_there(client: Client) -> None:
    assert fault(client.get("/v3/widgets/none"), "itemNotFound", 404) == "Widget none could not be found."
    assert fault(client.get("/v3/p1/gadgets"), "itemNotFound", 404) == "The resource could not be found."
    assert fault(client.get("/elsewhere"), "itemNotFound", 404)
    answer = client.send("DELETE", "/v3/widgets")
    assert "GET" in fault(answer, "badMethod", 405)
    assert "POST" in answer.headers["allow"]


def test_a_route_is_hidden_from_versions_before_it(client: Client) -> None:
    assert client.get("/v3/young", headers={"OpenStack-API-Version": "volume 3.27"}).status_code == 200
    fault(client.get("/v3/young", headers={"OpenStack-API-Version": "volume 3.26"}), "itemNotFound", 404)


def test_actions_are_found_by_the_bodys_key(client: Client) -> None:
    path = "/v3/p1/widgets/1/action"
    assert client.post(path, {"os-grow": {"new_size": 2}}).status_code == 202
    assert client.post(path, {"young": None}).json == {"version": "3.71"}
    assert fault(client.post(path, {"os-shrink": {}}), "badRequest", 400) == "There is no such action: os-shrink"
    assert "os-grow.new_size" in fault(client.post(path, {"os-grow": {"new_size": 0}}), "badRequest", 400)
    assert "'old_size'" in fault(client.post(path, {"os-grow": {"new_size": 1, "old_size": 2}}), "badRequest", 400)
    malformed: Any
    for malformed in ({}, [], None, "os-grow", {"os-grow": {}, "young": {}}):
        assert "Malformed" in fault(client.post(path, malformed), "badRequest", 400)
    fault(client.post(path, {"young": None}, headers={"OpenStack-API-Version": "volume 3.39"}), "itemNotFound", 404)
    fault(client.post(path, {"os-reset": None}), "forbidden", 403)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff\xfe", b'{"widget": {"size": 1, "name": "\\ud800"}}', b'{"widget": {"size": NaN}}', b"\0", b"[" * 2000, b"", b"null"],
)
def test_a_body_that_is_no_json_is_a_bad_request(client: Client, raw: bytes) -> None:
    fault(client.send("POST", "/v3/widgets", body=raw), "badRequest", 400)


def test_nul_and_deep_nesting_are_bad_requests(client: Client) -> None:
    assert "NUL" in fault(client.post("/v3/widgets", {"widget": {"size": 1, "name": "a\0b"}}), "badRequest", 400)
    assert "NUL" in fault(client.post("/v3/widgets", {"widget": {"size": 1, "metadata": {"a\0": "b"}}}), "badRequest", 400)
    assert client.post("/v3/widgets", {"widget": {"size": 1, "name": "a\\u0000b"}}).json["widget"]["name"] == "a\\u0000b"
    hints: Any = {}
    for _ in range(40):
        hints = {"a": [hints]}
    assert "nested" in fault(client.post("/v3/widgets", {"widget": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}), "badRequest", 400)
    assert "NUL" in fault(client.get("/v3/widgets?name=a%00"), "badRequest", 400)


def test_the_content_type_is_not_looked_at(client: Client) -> None:
    raw = json.dumps({"widget": {"size": 1}}).encode()
    for content_type in ("text/plain", "application/octet-stream", "nonsense"):
        assert client.send("POST", "/v3/widgets", body=raw, headers={"Content-Type": content_type}).status_code == 202


def test_a_large_body_is_over_the_limit(store: Store) -> None:
    client = Client(application(store, settings=Settings(api=ApiSettings(max_body=2000))))
    answer = client.post("/v3/widgets", {"widget": {"size": 1, "name": "x" * 2000}})
    assert "larger than 2000 bytes" in fault(answer, "overLimit", 413)
    assert answer.headers["retry-after"] == answer.json["overLimit"]["retryAfter"] == "0"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as a process of the service writes it."""
    written = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.set_up("api", written)
    yield written
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def test_a_defect_shows_its_id_and_nothing_else(client: Client, log: io.StringIO) -> None:
    answer = client.get("/v3/broken")
    assert "hunter2" not in answer.text
    assert "log" in fault(answer, "computeFault", 500)
    first, *traceback = log.getvalue().splitlines()
    assert f"ERROR api {answer.headers['x-openstack-request-id']} - breezeblock.api: GET /v3/broken by user:p1 failed" in first
    assert any("RuntimeError" in line for line in traceback)


def test_a_verb_that_forgot_its_rule_commits_nothing(client: Client, store: Store) -> None:
    fault(client.post("/v3/forgot", {"widget": {"size": 1}}), "computeFault", 500)
    assert store.read("count", lambda tx: tx.execute(sa.select(sa.func.count()).select_from(volumes)).scalar_one()) == 0


def test_a_database_that_is_away_is_worth_a_retry(database: str, tmp_path: Path) -> None:
    away = Store(f"sqlite:///{tmp_path}/missing/x.db", name="api")
    answer = Client(application(away)).get("/v3/widgets")
    assert "nothing was changed" in fault(answer, "serviceUnavailable", 503)
    assert answer.headers["retry-after"] == "5"


def test_the_log_has_a_line_per_change_and_refusal_without_secrets(client: Client, log: io.StringIO) -> None:
    given = "req-11111111-2222-3333-4444-555555555555"
    client.post("/v3/widgets?token=hunter2", {"widget": {"size": 1, "hidden": "hunter2"}}, headers={"X-OpenStack-Request-ID": given})
    client.post("/v3/widgets", {"widget": {"size": 1, "hidden": "hunter2-hunter2"}})
    client.get("/v3/a%0Ab", headers={"X-OpenStack-Request-ID": "forged\nline"})
    client.get("/v3/widgets")
    made, refused, unknown = log.getvalue().splitlines()
    assert f"POST /v3/widgets by user:p1 for {given} answered 202 in" in made
    assert "answered 400" in refused
    assert "GET /v3/a\\nb by nobody answered 404" in unknown
    assert "hunter2" not in log.getvalue()


def test_queries_are_converted_and_the_last_of_a_repeated_name_counts(client: Client) -> None:
    found = client.get("/v3/p1/echo/x?usage=yes&a=1&a=2&b=").json
    assert found["params"] == {"usage": True}
    assert found["query"] == {"usage": "yes", "a": "2", "b": ""}
    assert (found["url"], found["path"]) == ("http://falconframework.org/v3/p1", "/echo/x")
    assert "field usage" in fault(client.get("/v3/echo/x?usage=perhaps"), "badRequest", 400)
    fault(client.get("/v3/echo/x?" + "&".join(f"a{number}=1" for number in range(300))), "badRequest", 400)

"""What cannot be answered is refused in one shape, and never with a 500."""

import json
import uuid
from typing import Any

import pytest

from tests.support.blackbox import Endpoint

BAD_BODIES = {
    "empty": b"",
    "half": b'{"volume": {"size": ',
    "no JSON": b"size=1",
    "no object": b"[1]",
    "no text": b"\xff\xfe\x00",
    "NUL": b'{"volume": {"size": 1, "name": "a\\u0000b"}}',
    "deep": b'{"volume": ' * 200 + b"1" + b"}" * 200,
}
BAD_VOLUMES: dict[str, Any] = {
    "no size": {},
    "text for a size": {"size": "large"},
    "no volume at all": None,
    "nothing": {"size": 0},
    "negative": {"size": -1},
    "a fraction": {"size": 1.5},
    "a list": {"size": [1]},
    "beyond 32 bits": {"size": 2**40},
    "long name": {"size": 1, "name": "x" * 256},
    "metadata of numbers": {"size": 1, "metadata": {"a": {"b": 1}}},
    "unknown field": {"size": 1, "colour": "blue"},
    "no UUID": {"size": 1, "snapshot_id": "../../etc/passwd"},
    "two sources": {"snapshot_id": str(uuid.uuid4()), "source_volid": str(uuid.uuid4())},
    "unknown zone": {"size": 1, "availability_zone": "moon"},
}


@pytest.mark.parametrize(
    "path", ["/nowhere", "/volumes/{id}", "/volumes/no-id", "/snapshots/{id}", "/attachments/{id}", "/types/{id}", "/a/b/c/d"]
)
def test_what_is_not_there_is_not_found(endpoint: Endpoint, path: str) -> None:
    reply = endpoint.ask("GET", path.format(id=uuid.uuid4()))
    assert (reply.status, reply.fault) == (404, ("itemNotFound", 404))
    assert reply.headers["x-openstack-request-id"].startswith("req-")
    assert reply.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/volumes"), ("DELETE", "/volumes"), ("PUT", "/attachments"), ("POST", "/limits")])
def test_a_method_that_a_path_has_not_is_refused(endpoint: Endpoint, method: str, path: str) -> None:
    reply = endpoint.ask(method, path, {})
    assert (reply.status, reply.fault) == (405, ("badMethod", 405))
    assert "GET" in reply.headers["allow"]


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_refused(endpoint: Endpoint, body: bytes) -> None:
    reply = endpoint.ask("POST", "/volumes", body)
    assert (reply.status, reply.fault) == (400, ("badRequest", 400))


def test_a_large_body_is_refused(endpoint: Endpoint) -> None:
    reply = endpoint.ask("POST", "/volumes", json.dumps({"volume": {"size": 1, "description": "x" * 200_000}}).encode())
    assert (reply.status, reply.fault) == (413, ("overLimit", 413))


@pytest.mark.parametrize("volume", BAD_VOLUMES.values(), ids=BAD_VOLUMES)
def test_a_volume_that_makes_no_sense_is_refused(endpoint: Endpoint, volume: Any) -> None:
    reply = endpoint.ask("POST", "/volumes", {"volume": volume})
    assert reply.status in {400, 404}, reply
    assert reply.fault[1] == reply.status


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=many", "marker=nobody", "sort=colour:asc", "sort=size:sideways", "offset=-3", "colour=blue"]
)
def test_a_list_that_makes_no_sense_is_refused(endpoint: Endpoint, query: str) -> None:
    reply = endpoint.ask("GET", f"/volumes/detail?{query}")
    assert reply.status in {400, 404}, reply
    assert reply.fault[1] == reply.status


def test_an_unknown_action_is_refused(endpoint: Endpoint) -> None:
    reply = endpoint.ask("POST", f"/volumes/{uuid.uuid4()}/action", {"os-juggle": {}})
    assert reply.fault in {("badRequest", 400), ("itemNotFound", 404)}


def test_more_than_the_quota_is_refused_and_nothing_counted(endpoint: Endpoint) -> None:
    before = endpoint.get("/limits")["limits"]["absolute"]
    reply = endpoint.ask("POST", "/volumes", {"volume": {"size": 5000}})
    assert (reply.status, reply.fault) == (413, ("overLimit", 413))
    assert endpoint.get("/limits")["limits"]["absolute"] == before

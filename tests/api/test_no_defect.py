"""Whatever a client sends, the answer is never a 5xx: random bodies, bytes, paths, queries and headers."""

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import falcon.testing
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from breezeblock.api.app import create
from breezeblock.api.routes import ROUTES
from breezeblock.core.bodies import Body, Query
from breezeblock.resources import catalogue
from breezeblock.store.engine import Store
from tests.support.api import LISTING, application, services

one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what never reaches a statement."""
PATHS = ("/v3/p1/widgets", "/v3/widgets", "/v3/widgets/x", "/v3/widgets/x/action", "/v3/echo/x", "/v3/young", "/v3", "/")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
Send = Callable[..., tuple[int, bytes]]
random_requests = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def send(store: Store) -> Send:
    """Send a request to the sample verbs."""
    return sender(application(store))


@pytest.fixture
def shipped(store: Store) -> Send:
    """Send a request to the verbs that are shipped."""
    return sender(create(services(store, registry=catalogue.registry())))


def sender(app: Any) -> Send:
    """Send requests to ``app`` as a server hands them over: text of the wire is Latin-1."""

    def send(method: str, path: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        environ = falcon.testing.create_environ(method="POST", path="/")
        environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body))}
        environ |= {"wsgi.input": io.BytesIO(body), "HTTP_X_AUTH_TOKEN": "user:p1", "HTTP_OPENSTACK_API_VERSION": "volume 3.71"}
        environ |= {f"HTTP_{name}" if name != "CONTENT_LENGTH" else name: value for name, value in (headers or {}).items()}
        got: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
            got.append(int(status.split(maxsplit=1)[0]))

        answer = b"".join(app(environ, start_response))
        return got[0], answer

    return send


def wire(text: str) -> str:
    """Text as it stands in a WSGI environment."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


ANY_TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
WIDGET = st.fixed_dictionaries(
    {},
    optional={
        "size": JSON,
        "name": JSON,
        "metadata": JSON | st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
        "hidden": JSON,
        "other": JSON,
    },
)
BODIES = st.one_of(
    JSON,
    st.fixed_dictionaries({"widget": WIDGET | JSON}, optional={"OS-SCH-HNT:scheduler_hints": JSON}),
    st.dictionaries(st.sampled_from(["os-grow", "os-reset", "young"]), JSON | st.fixed_dictionaries({"new_size": JSON}), max_size=2),
)


def dumped(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:  # a lone surrogate, which no client can send as UTF-8 either
        return b"{}"


@one_database
@random_requests
@given(body=BODIES, path=st.sampled_from(PATHS), version=st.integers(0, 71))
@example(body={"widget": {"size": 1e300}}, path="/v3/widgets", version=71)
@example(body={"widget": {"size": 1.0}}, path="/v3/widgets", version=71)
@example(body={"widget": {"size": "9" * 19}}, path="/v3/widgets", version=71)
@example(body={"widget": {"size": "\u0661"}}, path="/v3/widgets", version=71)
@example(body={"widget": {"size": 1, "name": "a\0"}}, path="/v3/widgets", version=0)
@example(body={"widget": {"size": 1, "name": "\ud800"}}, path="/v3/widgets", version=0)
def test_any_document(send: Send, body: Any, path: str, version: int) -> None:
    status, answer = send("POST", path, body=dumped(body), headers={"OPENSTACK_API_VERSION": f"volume 3.{version}"})
    assert status < 500, answer
    orjson.loads(answer or b"{}")


TYPE_ID = "11111111-2222-4333-8444-555555555555"
NAMES = st.sampled_from(["limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", *LISTING.sortable, "metadata", "name~"])
VALUES = st.one_of(
    ANY_TEXT,
    st.integers().map(str),
    st.sampled_from(["gt:2026-01-01", "lt:9999-12-31T23:59:59-14:00", "{'a': 'b'}", "name:asc", "%00", TYPE_ID, "true", "9" * 19, "-1"]),
)
VALID = st.sampled_from([1, "2", True, None, "a", TYPE_ID, "__DEFAULT__", "1" * 255, 2**31 - 1, -1, {}, {"a": "b"}, "volume:h@b", "h@b#p"])
SHIPPED = [(route, getattr(route.verb, "BODY", None), getattr(route.verb, "QUERY", None)) for route in ROUTES]


def names(declared: Body | Query | None) -> list[str]:
    """The fields that a verb declares."""
    return list((declared.fields if declared is not None else None) or ["name"])


@settings(random_requests, max_examples=200)
@given(data=st.data())
def test_any_document_and_query_for_every_route(shipped: Send, data: st.DataObject) -> None:
    route, body, query = data.draw(st.sampled_from(SHIPPED))
    ids = st.sampled_from(["x", TYPE_ID, "p1", "fake", "é", "a" * 300])
    path = "".join(f"/{wire(data.draw(ids)) if part.startswith('{') else part}" for part in route.path[1:].split("/"))
    inner = st.dictionaries(st.sampled_from(names(body)), VALID | JSON, max_size=5) | JSON
    key = body.key if body is not None else None
    document = data.draw(inner if key is None else inner.map(lambda value: {key: value}))
    pairs = data.draw(st.lists(st.tuples(st.sampled_from([*names(query), "limit", "sort", "usage", "all_tenants"]), VALUES), max_size=3))
    headers = {
        "OPENSTACK_API_VERSION": f"volume 3.{data.draw(st.integers(0, 71))}",
        "X_AUTH_TOKEN": data.draw(st.sampled_from(["u:p1", "admin:p1"])),
    }
    text = "&".join(f"{wire(name)}={quote(wire(value), encoding='latin-1')}" for name, value in pairs)
    status, answer = shipped(route.method, f"/v3{path}", text, dumped(document), headers)
    assert status < 500 or status == 503, (str(route), answer)


@one_database
@random_requests
@given(body=st.binary(max_size=200), path=st.sampled_from(PATHS), method=st.sampled_from(METHODS))
def test_any_bytes(send: Send, body: bytes, path: str, method: str) -> None:
    assert send(method, path, body=body)[0] < 500


@one_database
@random_requests
@given(
    method=st.sampled_from(METHODS), path=st.lists(ANY_TEXT, max_size=5), prefix=st.sampled_from(("", "/v3", "/v3/p1", "/v3/p1/widgets"))
)
def test_any_path(send: Send, method: str, path: list[str], prefix: str) -> None:
    assert send(method, prefix + "".join(f"/{wire(part)}" for part in path))[0] < 500


@random_requests
@given(pairs=st.lists(st.tuples(NAMES | ANY_TEXT, VALUES), max_size=5), version=st.integers(0, 71))
def test_any_query(send: Send, pairs: list[tuple[str, str]], version: int) -> None:
    query = "&".join(f"{wire(name)}={wire(value)}" for name, value in pairs)
    status, answer = send("GET", "/v3/p1/widgets", query, headers={"OPENSTACK_API_VERSION": f"volume 3.{version}"})
    assert status < 500, answer


HEADERS = st.sampled_from(
    [
        "OPENSTACK_API_VERSION",
        "X_AUTH_TOKEN",
        "X_PROJECT_ID",
        "HOST",
        "X_FORWARDED_HOST",
        "X_FORWARDED_PROTO",
        "X_FORWARDED_PREFIX",
        "FORWARDED",
        "ACCEPT",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
        "X_OPENSTACK_REQUEST_ID",
        "IF_MATCH",
        "TRANSFER_ENCODING",
    ]
)


@one_database
@random_requests
@given(
    headers=st.dictionaries(HEADERS, ANY_TEXT.map(wire), max_size=4),
    path=st.sampled_from(PATHS),
    method=st.sampled_from(("GET", "POST")),
)
def test_any_header(send: Send, headers: dict[str, str], path: str, method: str) -> None:
    status, answer = send(method, path, body=b'{"widget": {"size": 1}}' if method == "POST" else b"", headers=headers)
    assert status < 500, answer

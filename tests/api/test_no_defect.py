"""Whatever a client sends, the answer is never a 5xx: random bodies, bytes, paths, queries and headers."""

import io
from collections.abc import Callable
from typing import Any

import falcon.testing
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from breezeblock.store.engine import Store
from tests.support.api import LISTING, application

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PATHS = ("/v3/p1/widgets", "/v3/widgets", "/v3/widgets/x", "/v3/widgets/x/action", "/v3/echo/x", "/v3/young", "/v3", "/")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
Send = Callable[..., tuple[int, bytes]]
random_requests = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def send(store: Store) -> Send:
    """Send a request as a server hands it over: text of the wire is Latin-1."""
    app = application(store)

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


@random_requests
@given(body=st.binary(max_size=200), path=st.sampled_from(PATHS), method=st.sampled_from(METHODS))
def test_any_bytes(send: Send, body: bytes, path: str, method: str) -> None:
    assert send(method, path, body=body)[0] < 500


@random_requests
@given(
    method=st.sampled_from(METHODS), path=st.lists(ANY_TEXT, max_size=5), prefix=st.sampled_from(("", "/v3", "/v3/p1", "/v3/p1/widgets"))
)
def test_any_path(send: Send, method: str, path: list[str], prefix: str) -> None:
    assert send(method, prefix + "".join(f"/{wire(part)}" for part in path))[0] < 500


NAMES = st.sampled_from(["limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", *LISTING.sortable, "metadata", "name~"])
VALUES = st.one_of(
    ANY_TEXT, st.integers().map(str), st.sampled_from(["gt:2026-01-01", "lt:9999-12-31T23:59:59-14:00", "{'a': 'b'}", "name:asc", "%00"])
)


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


@random_requests
@given(
    headers=st.dictionaries(HEADERS, ANY_TEXT.map(wire), max_size=4),
    path=st.sampled_from(PATHS),
    method=st.sampled_from(("GET", "POST")),
)
def test_any_header(send: Send, headers: dict[str, str], path: str, method: str) -> None:
    status, answer = send(method, path, body=b'{"widget": {"size": 1}}' if method == "POST" else b"", headers=headers)
    assert status < 500, answer

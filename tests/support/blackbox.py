"""An endpoint as a stranger sees it: plain HTTP by the standard library, and nothing of the product's own code."""

import dataclasses
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

NEWEST = "3.71"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def fault(self) -> tuple[str, int]:
        """Name and code of the error envelope, which must be all that the body holds, with a message for people."""
        ((name, inside),) = self.body.items()
        assert isinstance(inside["message"], str)
        assert inside["message"]
        return name, inside["code"]


class Endpoint:
    """``url`` ends with /v3; the project is the token's."""

    def __init__(self, url: str, token: str, project: str) -> None:
        self.url, self.token, self.project = url.rstrip("/"), token, project

    def ask(
        self, method: str, path: str, body: Any = None, *, version: str | None = NEWEST, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """``path`` stands below /v3, or is a whole URL. ``body`` is sent as JSON, bytes as they are. ``version`` None: no header for it."""
        sent = {"X-Auth-Token": self.token, "Content-Type": "application/json", "Accept": "application/json"}
        if version is not None:
            sent["OpenStack-API-Version"] = f"volume {version}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = path if "://" in path else self.url + path
        request = urllib.request.Request(url, method=method, data=data, headers=sent | dict(headers or {}))
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return _reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return _reply(refused.code, refused.headers, refused.read())

    def get(self, path: str, **query: Any) -> Any:
        """The body of a GET, which must be answered with 200."""
        reply = self.ask("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))
        assert reply.status == 200, reply
        return reply.body

    def do(self, method: str, path: str, body: Any = None) -> Any:
        """The body of a request that must succeed."""
        reply = self.ask(method, path, body)
        assert 200 <= reply.status < 300, reply
        return reply.body

    def settle(self, kind: str, resource_id: str, wanted: str = "available", seconds: float = 60) -> dict[str, Any]:
        """Wait until the resource has the status; AssertionError when it is in error or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            found: dict[str, Any] = self.get(f"/{kind}/{resource_id}")[kind.removesuffix("s")]
            if found["status"] == wanted:
                return found
            assert not found["status"].startswith("error"), found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def gone(self, kind: str, resource_id: str, seconds: float = 60) -> None:
        """Wait until there is no such resource."""
        deadline = time.monotonic() + seconds
        while (reply := self.ask("GET", f"/{kind}/{resource_id}")).status != 404:
            assert time.monotonic() < deadline, reply
            time.sleep(0.05)


def _reply(status: int, headers: Any, text: bytes) -> Reply:
    return Reply(status, {name.lower(): value for name, value in headers.items()}, json.loads(text) if text else None)

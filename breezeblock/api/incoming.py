"""Reading what came over the wire: body, query, ids and the URL that the client used. Whatever is wrong is a 400 or 413.

What reaches a handler holds no NUL, no lone surrogate and no deep nesting, so that no database or encoder
can choke on it later.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

import falcon
import orjson

from breezeblock import errors

DEEPEST = 32
MOST_PARAMETERS = 200
_HOST = re.compile(r"[A-Za-z0-9._~\[\]:-]{1,255}", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?", re.ASCII)
_GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def new_request_id() -> str:
    """The id of one request, as OpenStack's clients print it."""
    return f"req-{uuid.uuid4()}"


def global_request_id(req: falcon.Request) -> str | None:
    """The id that the calling service gave to the whole operation, when it is well formed; for the log."""
    sent = req.env.get("HTTP_X_OPENSTACK_REQUEST_ID")
    return sent if sent is not None and _GLOBAL_ID.fullmatch(sent) else None


def headers(req: falcon.Request) -> dict[str, str]:
    """The request's headers, names in lower case."""
    found = {name[5:].replace("_", "-").lower(): value for name, value in req.env.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if name in req.env:
            found[name.replace("_", "-").lower()] = req.env[name]
    return found


def document(req: falcon.Request, limit: int) -> Any:
    """The body's JSON, None for an empty body. The content type is not looked at, as clients leave it out."""
    raw = _read(req, limit)
    if not raw:
        return None
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise errors.Invalid(reason=f"Malformed request body: it is not JSON ({error}).") from error
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and _deeper_than(found, DEEPEST):
        raise errors.Invalid(reason=f"Malformed request body: it is nested more than {DEEPEST} levels deep.")
    if b"\\u0000" in raw and _holds_nul(found):
        raise errors.Invalid(reason="Malformed request body: it holds a NUL character.")
    return found


def _read(req: falcon.Request, limit: int) -> bytes:
    length = req.content_length
    if length is None:
        if req.env.get("HTTP_TRANSFER_ENCODING") is None or not req.env.get("wsgi.input_terminated"):
            return b""
        raw: bytes = req.env["wsgi.input"].read(limit + 1)
    elif length > limit:
        raise errors.TooLarge(limit=limit)
    else:
        raw = req.bounded_stream.read()
        if len(raw) < length:
            raise errors.Invalid(reason="Malformed request body: it is shorter than its Content-Length says.")
    if len(raw) > limit:
        raise errors.TooLarge(limit=limit)
    return raw


def _deeper_than(found: Any, limit: int) -> bool:
    level = [found]
    for _ in range(limit + 1):
        level = [inner for each in level if isinstance(each, dict | list) for inner in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return False
    return True


def _holds_nul(found: Any) -> bool:
    if isinstance(found, str):
        return "\0" in found
    if isinstance(found, dict):
        return any("\0" in key or _holds_nul(value) for key, value in found.items())
    return isinstance(found, list) and any(_holds_nul(each) for each in found)


def query(req: falcon.Request) -> Mapping[str, str]:
    """The query string's names and values; of a repeated name the last."""
    raw = req.query_string
    if not raw:
        return {}
    try:
        found = dict(parse_qsl(raw, keep_blank_values=True, errors="replace", max_num_fields=MOST_PARAMETERS))
    except ValueError as error:
        raise errors.Invalid(reason=f"The query string has more than {MOST_PARAMETERS} parameters.") from error
    if any("\0" in name or "\0" in value for name, value in found.items()):
        raise errors.Invalid(reason="The query string holds a NUL character.")
    return found


def base_url(req: falcon.Request, public_endpoint: str) -> str:
    """The service's URL as its clients see it, without a slash at its end: configured, or as proxies say, or as requested."""
    if public_endpoint:
        return public_endpoint.rstrip("/")
    scheme, host = req.forwarded_scheme, req.forwarded_host
    if scheme not in {"http", "https"} or not _HOST.fullmatch(host):
        scheme, host = req.scheme, req.netloc
    prefix = req.get_header("X-Forwarded-Prefix") or ""
    if not _PREFIX.fullmatch(prefix):
        prefix = ""
    return f"{scheme}://{host}{prefix.rstrip('/')}{req.root_path}"


def v3_url(base: str, project_id: str | None) -> str:
    """Where this request's links start: with its project if its path named one."""
    return f"{base}/v3" if project_id is None else f"{base}/v3/{quote(project_id, safe='')}"

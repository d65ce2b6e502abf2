"""How an error looks on the wire: the fault that OpenStack's clients parse, and never more than the error itself says."""

from collections.abc import Mapping

import orjson

from breezeblock import errors

FAULTS: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
OTHER = "computeFault"
"""The name of every other fault, in all of OpenStack since its first service."""
UNEXPECTED = "The service met a condition that it did not expect. The log has more under this request's id."


def body(status: int, message: str, extra: Mapping[str, str] | None = None) -> bytes:
    """The JSON of a fault."""
    return orjson.dumps({FAULTS.get(status, OTHER): {"code": status, "message": message, **(extra or {})}})


def of(error: errors.Error) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and extra headers for ``error``. What only says that the service is broken stays in the log."""
    headers = retry_headers(error)
    if error.status >= 500 and not isinstance(error, errors.Unavailable):
        return error.status, body(error.status, UNEXPECTED), headers
    return error.status, body(error.status, error.message, {"retryAfter": headers["Retry-After"]} if error.status == 413 else None), headers


def retry_headers(error: errors.Error) -> dict[str, str]:
    """When to come again: soon for what is unavailable; at once, after making room, for what is over a limit."""
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {"Retry-After": "0"} if error.status == 413 else {}

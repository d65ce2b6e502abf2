"""Reading and changing the metadata of any resource that has some: a column of text by text, and nothing else.

Every change has the row locked from its read to its write, so two changes of different keys both stay. Since V.ETAG
the metadata carry an ETag, and a change that sends If-Match is refused when they are others by now.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V

ALL = Body("metadata", whole=fields.METADATA)
ONE = Body("meta", whole=fields.METADATA)
MOST_KEYS = 256
"""Of one resource; a body's size bounds one request, this bounds their sum, as lists show all of it."""
Row = Mapping[str, Any]


def shown(req: Request, row: Row) -> Answer:
    """All of it."""
    return Answer(200, {"metadata": row["metadata"]}, {"ETag": etag(row["metadata"])} if req.version.has(V.ETAG) else {})


def shown_one(row: Row, key: str) -> Answer:
    """One key. Raises NotFound."""
    return Answer(200, {"meta": {key: _value(row, key)}})


def merged(req: Request, table: sa.Table, row: Row) -> Answer:
    """Keys that were sent are set, others stay. ``row`` is locked, here and below."""
    _write(req, table, row, {**row["metadata"], **req.body})
    return Answer(200, {"metadata": req.body})


def replaced(req: Request, table: sa.Table, row: Row) -> Answer:
    """What was sent stands for everything."""
    _write(req, table, row, req.body)
    return Answer(200, {"metadata": req.body})


def set_one(req: Request, table: sa.Table, row: Row, key: str) -> Answer:
    """The body names the path's key, and no other. Raises Invalid."""
    if list(req.body) != [key]:
        raise errors.Invalid(reason="The body must hold the key that the path names, and no other.")
    _write(req, table, row, {**row["metadata"], **req.body})
    return Answer(200, {"meta": req.body})


def removed_one(req: Request, table: sa.Table, row: Row, key: str) -> Answer:
    """Raises NotFound for a key that is not there."""
    _value(row, key)
    _write(req, table, row, {name: value for name, value in row["metadata"].items() if name != key})
    return Answer(200)


def etag(metadata: Mapping[str, str]) -> str:
    """The same for the same metadata, in whatever order a database gives the keys back."""
    plain = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()}"'


def _value(row: Row, key: str) -> str:
    value: str | None = row["metadata"].get(key)
    if value is None:
        raise errors.NotFound(kind="Metadata", id=key)
    return value


def _write(req: Request, table: sa.Table, row: Row, metadata: Mapping[str, str]) -> None:
    asked = req.headers.get("if-match")
    if asked is not None and req.version.has(V.ETAG) and asked.strip() != "*":
        known = etag(row["metadata"])
        if known not in [one.strip().removeprefix("W/") for one in asked.split(",")]:
            raise errors.PreconditionFailed
    if len(metadata) > max(MOST_KEYS, len(row["metadata"])):
        raise errors.Invalid(reason=f"There would be {len(metadata)} metadata keys; at most {MOST_KEYS} are possible.")
    values = {"metadata": dict(metadata), "updated_at": req.clock.utcnow()}
    req.tx.execute(sa.update(table).where(table.c.id == row["id"]).values(values))

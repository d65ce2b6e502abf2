"""The record of what happened: one row per move of a resource, and messages for its owner.

Neither ever holds a secret: details are built from error messages and statuses only.
"""

import datetime
import functools
import re
import uuid
from typing import Any, Final

import sqlalchemy as sa

from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import events, messages

MESSAGE_LIFE: Final = datetime.timedelta(days=30)
DETAIL_LIMIT: Final = 1000
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")


def fit(text: str, limit: int | None = None) -> str:
    """``text`` as every database takes it: no NUL, no lone surrogate (a tool's output may hold either), not over the limit."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)[:limit]


def record(tx: Tx, **values: Any) -> None:
    """Write one event; ``values`` are columns of the events table."""
    if values.get("detail"):
        values["detail"] = fit(values["detail"], DETAIL_LIMIT)
    tx.execute(_RECORD, values)


_RECORD: Final = sa.insert(events)


def record_end(tx: Tx, table: sa.Table, *, gone: bool, resource_id: str, from_status: str | None, **values: Any) -> None:
    """Write the event of a job's end. The status that it led to is the row's own, unless the row is ``gone``.

    ``from_status`` None: the job changed no status.
    """
    row = {**values, "resource_id": resource_id}
    if from_status is not None:
        row["from_status"] = from_status
    if gone:
        record(tx, to_status="deleted", **{"from_status": "deleted", **row})
        return
    if row.get("detail"):
        row["detail"] = fit(row["detail"], DETAIL_LIMIT)
    tx.execute(_end_of(table, moved=from_status is not None), {**row, "ended": resource_id})


@functools.cache
def _end_of(table: sa.Table, *, moved: bool) -> sa.Insert:
    status = sa.select(table.c.status).where(table.c.id == sa.bindparam("ended")).scalar_subquery()
    return sa.insert(events).values({"to_status": status} if moved else {"to_status": status, "from_status": status})


def record_from_row(
    tx: Tx, table: sa.Table, resource_id: str, action: str, *, moved: bool = True, now: Any, job_id: str | None, request_id: str | None
) -> None:
    """Write the event of a move that was just made: the statuses are the row's own, so that no reader can have been overtaken.

    ``moved``: whether the status was; else it stays as it is.
    """
    said = {"now": now, "action": action, "job": job_id, "request": request_id, "resource": resource_id}
    tx.execute(_move_of(table, moved=moved), said)


@functools.cache
def _move_of(table: sa.Table, *, moved: bool) -> sa.Insert:
    source = sa.select(
        sa.bindparam("now", type_=events.c.at.type),
        sa.literal(table.name),
        table.c.id,
        table.c.project_id,
        sa.bindparam("action", type_=events.c.action.type),
        table.c.previous_status if moved else table.c.status,
        table.c.status,
        sa.bindparam("job", type_=events.c.job_id.type),
        sa.bindparam("request", type_=events.c.request_id.type),
    ).where(table.c.id == sa.bindparam("resource"))
    columns = ["at", "resource_type", "resource_id", "project_id", "action", "from_status", "to_status", "job_id", "request_id"]
    return sa.insert(events).from_select(columns, source)


def tell(
    tx: Tx,
    *,
    now: datetime.datetime,
    project_id: str,
    resource_type: str,
    resource_id: str,
    event_id: str,
    text: str,
    request_id: str | None,
) -> None:
    """Leave a user message (the API's /messages) about a failure."""
    tx.execute(
        sa.insert(messages).values(
            id=str(uuid.uuid4()),
            project_id=project_id,
            resource_type=resource_type,
            resource_id=resource_id,
            event_id=event_id,
            level="ERROR",
            text=fit(text, DETAIL_LIMIT),
            request_id=request_id,
            created_at=now,
            expires_at=now + MESSAGE_LIFE,
        )
    )

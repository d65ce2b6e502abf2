"""The record of what happened: one row per move of a resource, and messages for its owner.

Neither ever holds a secret: details are built from error messages and statuses only.
"""

import datetime
import uuid
from typing import Any, Final

import sqlalchemy as sa

from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import events, messages

MESSAGE_LIFE: Final = datetime.timedelta(days=30)
DETAIL_LIMIT: Final = 1000


def record(tx: Tx, **values: Any) -> None:
    """Write one event; ``values`` are columns of the events table."""
    if values.get("detail"):
        values["detail"] = values["detail"][:DETAIL_LIMIT]
    tx.execute(sa.insert(events).values(**values))


def record_from_row(
    tx: Tx, table: sa.Table, resource_id: str, action: str, *, now: Any, job_id: str | None, request_id: str | None
) -> None:
    """Write the event of a move that was just made: the statuses are the row's own, so that no reader can have been overtaken."""
    source = sa.select(
        sa.literal(now, events.c.at.type),
        sa.literal(table.name),
        table.c.id,
        table.c.project_id,
        sa.literal(action),
        table.c.previous_status,
        table.c.status,
        sa.literal(job_id, events.c.job_id.type),
        sa.literal(request_id, events.c.request_id.type),
    ).where(table.c.id == resource_id)
    columns = ["at", "resource_type", "resource_id", "project_id", "action", "from_status", "to_status", "job_id", "request_id"]
    tx.execute(sa.insert(events).from_select(columns, source))


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
            text=text[:DETAIL_LIMIT],
            request_id=request_id,
            created_at=now,
            expires_at=now + MESSAGE_LIFE,
        )
    )

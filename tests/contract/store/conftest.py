"""Rows that the store's tests work on."""

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, 123456)  # noqa: DTZ001 - naive UTC, as stored
Insert = Callable[..., str]


def volume_row(**columns: Any) -> dict[str, Any]:
    """A volume; every column can be given."""
    row = {"id": str(uuid.uuid4()), "project_id": "p", "user_id": "u", "status": "available", "size_gib": 1, "created_at": NOW}
    return row | {"metadata": {}, "image_metadata": {}} | columns


def snapshot_row(volume_id: str, **columns: Any) -> dict[str, Any]:
    """A snapshot of a volume."""
    row = {"id": str(uuid.uuid4()), "project_id": "p", "user_id": "u", "status": "available", "size_gib": 1, "created_at": NOW}
    return row | {"metadata": {}, "volume_id": volume_id} | columns


@pytest.fixture
def new_volume(store: Store) -> Insert:
    """Insert a volume and return its id."""

    def insert(**columns: Any) -> str:
        row = volume_row(**columns)
        store.run("insert", lambda tx: tx.execute(sa.insert(volumes), row))
        return str(row["id"])

    return insert


@pytest.fixture
def new_snapshot(store: Store) -> Insert:
    """Insert a snapshot of a volume and return its id."""

    def insert(volume_id: str, **columns: Any) -> str:
        row = snapshot_row(volume_id, **columns)
        store.run("insert", lambda tx: tx.execute(sa.insert(snapshots), row))
        return str(row["id"])

    return insert

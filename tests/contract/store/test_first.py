"""The store on a fresh SQLite file: migrate, write, read, compare and swap."""

import datetime
import uuid

import sqlalchemy as sa

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.conditional import Case, Not, conditional_update
from breezeblock.store.engine import Store, Tx


def insert_volume(tx: Tx, volume_id: str, status: str) -> None:
    row = {"id": volume_id, "project_id": "p", "user_id": "u", "status": status, "size_gib": 1, "metadata": {}, "image_metadata": {}}
    tx.execute(sa.insert(volumes), row | {"created_at": datetime.datetime(2026, 1, 1)})  # noqa: DTZ001 - naive UTC, as stored


def test_the_two_examples(store: Store) -> None:
    volume_id = str(uuid.uuid4())
    has_snapshot = sa.exists().where(snapshots.c.volume_id == volumes.c.id)
    guard = {"attach_status": Not("attached"), "migration_status": None, "status": ("available", "error")}
    store.run("insert", lambda tx: insert_volume(tx, volume_id, "available"))
    assert store.run("delete", lambda tx: conditional_update(tx, volumes, volume_id, {"status": "deleting"}, guard, [~has_snapshot]))
    assert not store.run("delete", lambda tx: conditional_update(tx, volumes, volume_id, {"status": "deleting"}, guard, [~has_snapshot]))
    status = Case([(has_snapshot, "has-snapshot")], else_="no-snapshot")
    values = {"status": status, "size_gib": volumes.c.size_gib + 1}
    assert store.run("case", lambda tx: conditional_update(tx, volumes, volume_id, values))
    row = store.read("show", lambda tx: tx.execute(sa.select(volumes.c.status, volumes.c.size_gib)).one())
    assert row == ("no-snapshot", 2)

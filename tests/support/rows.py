"""Rows that a story begins with, written straight into the database by the product's own functions where it has them."""

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from breezeblock.resources.services import rules as services
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.types.table import volume_types
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler import capacity
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import workers

NOW = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - naive UTC, as stored


def add_type(store: Store, name: str, **changes: Any) -> str:
    """A volume type; returns its id."""
    row = {"id": str(uuid.uuid4()), "name": name, "is_public": True, "extra_specs": {}, "created_at": NOW} | changes
    store.run("add_type", lambda tx: tx.execute(sa.insert(volume_types), row))
    return str(row["id"])


def volume_row(**changes: Any) -> dict[str, Any]:
    """The row of a volume that is available."""
    row = {"id": str(uuid.uuid4()), "project_id": "p1", "user_id": "u", "status": "available", "size_gib": 1}
    return row | {"metadata": {}, "image_metadata": {}, "created_at": NOW} | changes


def add_volume(store: Store, **changes: Any) -> str:
    """A volume that is available; returns its id. Counts nothing."""
    row = volume_row(**changes)
    store.run("add_volume", lambda tx: tx.execute(sa.insert(volumes), row))
    return str(row["id"])


def add_snapshot(store: Store, volume_id: str, **changes: Any) -> str:
    """A snapshot that is available; returns its id. Counts nothing."""
    row: dict[str, Any] = {"id": str(uuid.uuid4()), "project_id": "p1", "user_id": "u", "status": "available", "size_gib": 1}
    row |= {"volume_id": volume_id, "metadata": {}, "created_at": NOW} | changes
    store.run("add_snapshot", lambda tx: tx.execute(sa.insert(snapshots), row))
    return str(row["id"])


def add_worker(store: Store, host: str, *queues: str, state: str = "live") -> str:
    """A worker that serves these queues; returns its incarnation."""
    worker_id = str(uuid.uuid4())
    row = {"id": worker_id, "host": host, "process": "", "state": state, "beat": 0, "solo": False, "queues": list(queues), "kinds": {}}
    store.run("add_worker", lambda tx: tx.execute(sa.insert(workers), row | {"started_at": NOW}))
    return worker_id


def add_service(store: Store, host: str, *, binary: str = services.VOLUME, zone: str = "nova", worker_id: str = "w") -> None:
    """A registered service, whose queue is named as workers name it."""
    queue, service_uuid = f"volume:{host}" if binary == services.VOLUME else "scheduler", str(uuid.uuid4())

    def work(tx: Tx) -> None:
        parts = {"binary": binary, "host": host, "queue": queue, "availability_zone": zone, "worker_id": worker_id}
        services.register(tx, **parts, service_uuid=service_uuid, now=NOW)

    store.run("add_service", work)


def add_pools(store: Store, *pools: str, **changes: Any) -> None:
    """Pools of 100 GiB (host@backend#pool), as reported by their workers."""
    by_queue: dict[str, list[capacity.Report]] = {}
    facts: dict[str, Any] = {"total_gib": 100.0, "free_gib": 80.0, "allocated_gib": 20.0, "thin": True, "reserved_percentage": 10}
    facts |= {"max_over_subscription_ratio": 2.0, "capabilities": {"storage_protocol": "nbd"}} | changes
    for pool in pools:
        host, name = pool.split("#")
        by_queue.setdefault(f"volume:{host}", []).append(capacity.Report(id=pool, backend=host.split("@")[1], name=name, **facts))

    def work(tx: Tx) -> None:
        for queue, reports in by_queue.items():
            capacity.report(tx, queue, reports, NOW)

    store.run("add_pools", work)

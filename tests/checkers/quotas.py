"""Invariant: each quota counter equals the sum of its rows, and each pool's promises equal the sum of its volumes.

Independent of the code that counts: it reads the rows and adds them up by itself.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import jobs, pools, quotas

Sums = Counter[tuple[str, str]]


def sums(tx: Tx) -> Sums:
    """What each counter should be, by (project, counter) and by ("pool", id)."""
    expected: Sums = Counter()
    for row in tx.execute(sa.select(volumes)):
        if row.pool_id is not None:
            expected["pool", row.pool_id] += row.size_gib
        if row.consumes_quota:
            _count(expected, row.project_id, row.volume_type_id, {"volumes": 1, "gigabytes": row.size_gib})
    for job in tx.execute(_GROWTH):
        _grow(expected, job.payload, volume_type_id=job.volume_type_id)
    for row in tx.execute(sa.select(snapshots)):
        if row.consumes_quota:
            counts = {"snapshots": 1} | ({"gigabytes": row.size_gib} if row.counts_gib else {})
            _count(expected, row.project_id, row.volume_type_id, counts)
    return expected


_GROWTH = (
    sa.select(jobs.c.payload, volumes.c.volume_type_id)
    .join_from(jobs, volumes, volumes.c.id == jobs.c.resource_id)
    .where(jobs.c.kind == "volumes.extend", jobs.c.state.in_(("queued", "claimed")))
)
"""What requests have taken in advance, for sizes that their jobs have not published yet."""


def _grow(expected: Sums, payload: Mapping[str, Any], volume_type_id: str | None) -> None:
    expected["pool", payload["pool_id"]] += payload["new_size_gib"] - payload["old_size_gib"]
    if payload["charged"]:
        growth = {"gigabytes": payload["new_size_gib"] - payload["old_size_gib"]}
        _count(expected, payload["project_id"], volume_type_id, growth)


def _count(expected: Sums, project_id: str, type_id: str | None, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        expected[project_id, name] += count
        if type_id is not None:
            expected[project_id, f"{name}_{type_id}"] += count


def counters(tx: Tx) -> Sums:
    """What each counter is."""
    actual: Sums = Counter()
    for row in tx.execute(sa.select(quotas)):
        actual[row.project_id, row.resource] = row.in_use
    for row in tx.execute(sa.select(pools)):
        actual["pool", row.id] = row.provisioned_gib
    return actual


def differences(store: Store) -> dict[tuple[str, str], tuple[int, int]]:
    """Every counter that is wrong: what it is, and what it should be."""

    def compare(tx: Tx) -> dict[tuple[str, str], tuple[int, int]]:
        actual, expected = counters(tx), sums(tx)
        return {name: (actual[name], expected[name]) for name in actual | expected if actual[name] != expected[name]}

    return store.read("checkers.quotas", compare)

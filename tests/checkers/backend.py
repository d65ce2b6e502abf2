"""Invariant: what the database says exists, exists on the backend; once healed, also the reverse.

For the fake backend also: no call with an old token took effect after a newer one.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.drivers.fake import FakeStore, late_effects
from breezeblock.drivers.interface import VolumeDriver
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store, Tx

PARTIAL = ("creating", "deleting", "error", "error_deleting")
"""Statuses in which a row may be without an object: not made yet, or in part gone."""


def problems(store: Store, driver: VolumeDriver, *, healed: bool = True) -> list[str]:
    """Rows without their objects, objects of another size than their rows, and (once ``healed``) objects without rows."""
    rows = store.read("checkers.backend", _rows)
    objects = {each.name: each for each in driver.objects()}
    found: list[str] = []
    handles: list[Mapping[str, Any]] = []
    for name, row in rows:
        what = f"{name[:-1]} {row['id']} ({row['status']})"
        if row["handle"]:
            handles.append(row["handle"])
        if row["status"] in PARTIAL:
            continue
        missing = set(driver.referenced([row["handle"]])) - objects.keys() if row["handle"] else {"an object"}
        found += [f"{what} needs {each}, which the backend does not have" for each in sorted(missing)]
    if healed:
        needed = set(driver.referenced(handles))
        found += [f"the backend has {each}, which nobody needs" for each in sorted(objects) if each not in needed]
    return found


def _rows(tx: Tx) -> list[tuple[str, Mapping[str, Any]]]:
    return [(table.name, row) for table in (volumes, snapshots) for row in tx.rows(sa.select(table))]


def sizes(store: Store, backend: FakeStore) -> list[str]:
    """Volumes of the fake backend that are not as large as the database says."""
    objects = {each.name: each.size_gib for each in backend.objects()}
    rows = store.read("checkers.sizes", lambda tx: tx.rows(sa.select(volumes)))
    return [
        f"volume {row['id']} has {row['size_gib']} GiB, its object {objects[row['handle']['object']]}"
        for row in rows
        if row["handle"] and objects.get(row["handle"]["object"], row["size_gib"]) != row["size_gib"]
        and row["status"] not in ("extending", "error_extending", "deleting", "error_deleting")
    ]  # fmt: skip


def late(backend: FakeStore) -> list[str]:
    """Calls that the backend's fence should have refused."""
    return [
        f"{each.late.method} of {each.late.resource_id} took effect with token {each.late.token}, after {each.newest}"
        for each in late_effects(backend.records())
    ]

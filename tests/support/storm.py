"""Fifty operations in flight at once on a file backend, and what must be there when all have ended, byte by byte."""

import random
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.core.work import Backend
from breezeblock.resources import catalogue
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import pools
from breezeblock.worker.collect import collect
from tests.checkers.everything import Watch
from tests.support.file_backend import file_driver
from tests.support.processes import Deployment

GIB = 1 << 30
BASES = 6
PLACES = (0, 700 << 20)
"""Where a volume's data stand, in bytes."""


class Storm:
    """The load on one deployment, whose backend is in ``folder``."""

    def __init__(self, deployment: Deployment, folder: Path, seed: int) -> None:
        self._deployment = deployment
        self._folder = folder
        self._random = random.Random(seed)
        self._bytes: dict[str, int] = {}
        """What each volume or snapshot must hold, by id: a byte that is repeated; 0 in a new volume."""
        self._sizes: dict[str, int] = {}
        self._doomed: list[str] = []

    def prepare(self, store: Store) -> None:
        """Volumes with data, and snapshots of them."""
        make = self._deployment.create
        self.bases = [make() for _ in range(BASES)]
        self._deployment.settle(store)
        for number, volume_id in enumerate(self.bases, 1):
            self._write(self._row(store, volumes, volume_id), number)
            self._bytes[volume_id], self._sizes[volume_id] = number, 1
        self.snapshots = [self._snapshot(volume_id) for volume_id in self.bases]
        self._deployment.settle(store)

    def doom(self, store: Store) -> None:
        """Make what the next gust deletes."""
        self._doomed = [self._deployment.create() for _ in range(8)]
        self._deployment.settle(store)

    def begin(self) -> int:
        """Ask for all of it at once, in an order of the seed's choice; how many operations were accepted."""
        asked: list[Callable[[], object]] = [self._new] * 12
        asked += [partial(self._new, source_volid=base) for base in self.bases * 2]
        asked += [partial(self._new, snapshot_id=snapshot) for snapshot in self.snapshots]
        asked += [partial(self._snapshot, base) for base in self.bases]
        asked += [partial(self._delete, each) for each in self._doomed]
        self._random.shuffle(asked)
        extends: list[Callable[[], object]] = [partial(self._extend, base) for base in self.bases]
        with ThreadPoolExecutor(4) as pool:
            # A clone of a volume that is being extended would be refused, so those come last; they wait in their lanes.
            for batch in (asked, extends):
                for accepted in [pool.submit(each) for each in batch]:
                    accepted.result(30)
        return len(asked) + len(extends)

    def verify(self, store: Store) -> None:
        """After the service has stopped: every status final, every byte there, every invariant holds, nothing is left over."""
        driver = file_driver(self._folder)
        (pool_id,) = store.read("test.pools", lambda tx: list(tx.execute(sa.select(pools.c.id)).scalars()))
        registry = catalogue.registry()
        backend = Backend("local", f"volume:{pool_id.partition('#')[0]}", driver, None)
        collect(store, registry, backend)
        rows = store.read("test.rows", lambda tx: [*tx.rows(sa.select(volumes)), *tx.rows(sa.select(snapshots))])
        wrong = {row["id"]: row["status"] for row in rows if row["status"] != "available"}
        assert wrong == {}
        assert {row["id"] for row in rows} == set(self._bytes), "rows are lost, or left"
        assert {row["id"]: row["size_gib"] for row in rows} == self._sizes
        for row in rows:
            self._check(row, self._bytes[row["id"]])
        Watch(store, registry, driver).assert_sound(healed=True, after="the storm")

    def _new(self, **source: str) -> None:
        origin = next(iter(source.values()), "")
        size = self._sizes.get(origin, 1)
        volume_id = self._deployment.create(size=size, **source)
        self._bytes[volume_id], self._sizes[volume_id] = self._bytes.get(origin, 0), size

    def _snapshot(self, volume_id: str) -> str:
        snapshot_id = self._deployment.want("POST", "/snapshots", "snapshot", volume_id=volume_id)
        self._bytes[snapshot_id], self._sizes[snapshot_id] = self._bytes[volume_id], self._sizes[volume_id]
        return snapshot_id

    def _delete(self, volume_id: str) -> None:
        self._deployment.delete(f"/volumes/{volume_id}")

    def _extend(self, volume_id: str) -> None:
        self._sizes[volume_id] += 1
        self._deployment.extend(volume_id, self._sizes[volume_id])

    def _row(self, store: Store, table: sa.Table, row_id: str) -> Mapping[str, Any]:
        row = store.read("test.row", lambda tx: tx.row(sa.select(table).where(table.c.id == row_id)))
        assert row is not None
        return row

    def _write(self, row: Mapping[str, Any], value: int) -> None:
        image = file_driver(self._folder).image(row["handle"])
        _qemu_io(image.path, image.format, *(f"write -P {value} {place} 64k" for place in PLACES), "flush")

    def _check(self, row: Mapping[str, Any], value: int) -> None:
        image = file_driver(self._folder).image(row["handle"])
        assert image.size_bytes == row["size_gib"] * GIB
        _qemu_io(
            image.path,
            image.format,
            *(f"read -P {value} {place} 64k" for place in PLACES),
            f"read -P 0 {row['size_gib'] * GIB - 65536} 64k",
        )


def _qemu_io(path: str, format: str, *commands: str) -> None:
    flags = [part for command in commands for part in ("-c", command)]
    done = subprocess.run(["qemu-io", "-f", format, *flags, path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verification failed" not in done.stdout, done.stdout

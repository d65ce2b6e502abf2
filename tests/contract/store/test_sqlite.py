"""Protocol rule R8 on SQLite: writers queue at the gate, so that a lease renewal never starves."""

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store, Tx
from breezeblock.store.sqlite import GatedConnection
from tests.contract.store.conftest import Insert, volume_row

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

WRITER = """
    import sys, threading
    import sqlalchemy as sa
    from breezeblock.resources.volumes.table import volumes
    from breezeblock.store.engine import Store
    from tests.contract.store.conftest import volume_row
    from tests.contract.store.test_sqlite import without_gate

    store = Store(sys.argv[1], name="writer")
    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
    with without_gate(sys.argv[2] == "False"):
        store.run("first", lambda tx: None)
        print("ready", flush=True)
        while not end.is_set():
            store.run("write", lambda tx: [tx.execute(sa.insert(volumes), volume_row()) for _ in range(4)])
            end.wait(0.001)
"""
HOLDER = """
    import sys, time
    import sqlalchemy as sa
    from breezeblock.resources.volumes.table import volumes
    from breezeblock.store.engine import Store
    from tests.contract.store.conftest import volume_row

    def work(tx):
        tx.execute(sa.insert(volumes), volume_row())
        print("holds", flush=True)
        time.sleep(60)

    Store(sys.argv[1], name="holder").run("hold", work)
"""


@contextlib.contextmanager
def without_gate(wanted: bool) -> Iterator[None]:
    """Take the rule out, if wanted."""
    with unittest.mock.patch.object(GatedConnection, "enter") if wanted else contextlib.nullcontext():
        yield


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(command, cwd=root, env={"PYTHONPATH": str(root)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def renewals(database: str, *, gated: bool, seconds: float) -> list[float]:
    """How long each renewal took behind three writers, sorted."""
    writers = [start(WRITER, database, str(gated)) for _ in range(3)]
    store = Store(database, name="worker")
    spent = []
    try:
        with without_gate(not gated):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                before = time.monotonic()
                store.run("beat", lambda tx: tx.execute(sa.update(volumes).values(pins=volumes.c.pins + 1).where(volumes.c.id == "beat")))
                spent.append(time.monotonic() - before)
                time.sleep(0.005)
    finally:
        for writer in writers:
            writer.communicate(timeout=20)
        store.dispose()
    return sorted(spent)


def test_the_gate_keeps_renewals_fast_behind_writers(database: str) -> None:
    """Three processes write without a pause worth the name. Without the gate a renewal polls, and loses, for many turns."""
    gated = renewals(database, gated=True, seconds=1.2)
    free = renewals(database, gated=False, seconds=1.2)
    assert gated[-1] < 0.5, f"a renewal took {gated[-1]:.3f} s"
    assert gated[-3] < free[-3], f"the gate is of no use: {gated[-3]:.3f} s with it, {free[-3]:.3f} s without"


def test_a_writer_waits_in_the_kernels_queue(database: str, store: Store) -> None:
    """It does not poll: the kernel lists it as blocked on the gate, and hands the gate on when the holder dies."""
    holder = start(HOLDER, database)
    gate = Path(f"{sa.make_url(database).database}.gate").stat().st_ino
    writer = threading.Thread(target=store.run, args=("write", lambda tx: tx.execute(sa.insert(volumes), volume_row())))
    writer.start()
    blocked = re.compile(rf"-> FLOCK .*:{gate} ")
    deadline = time.monotonic() + 10
    while not blocked.search(Path("/proc/locks").read_text()):
        assert time.monotonic() < deadline, "nobody waits for the gate"
        time.sleep(0.02)
    assert writer.is_alive()
    holder.kill()
    writer.join(5)
    assert not writer.is_alive()
    holder.communicate(timeout=10)


def test_a_deferred_begin_that_upgrades_fails_at_once(database: str, store: Store, new_volume: Insert) -> None:
    """Why BEGIN IMMEDIATE: a transaction that reads first cannot write any more when another wrote meanwhile; no waiting helps."""
    new_volume()
    path = sa.make_url(database).database
    assert path is not None
    deferred = sqlite3.connect(path, timeout=5, isolation_level=None)
    deferred.execute("BEGIN")
    deferred.execute("SELECT count(*) FROM volumes").fetchone()
    new_volume()
    started = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        deferred.execute("UPDATE volumes SET pins = 1")
    assert time.monotonic() - started < 1
    deferred.close()

    calls = []

    def read_then_write(tx: Tx) -> None:
        calls.append(1)
        tx.execute(sa.select(sa.func.count()).select_from(volumes)).scalar_one()
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("UPDATE volumes SET pins = 2")
        tx.execute(sa.update(volumes).values(pins=1))

    store.run("immediate", read_then_write)
    assert calls == [1]


def test_a_killed_holder_leaves_the_gate_open(database: str, store: Store) -> None:
    holder = start(HOLDER, database)
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=10)
    started = time.monotonic()
    store.run("work", lambda tx: tx.execute(sa.insert(volumes), volume_row()))
    assert time.monotonic() - started < 1
    assert store.read("count", lambda tx: tx.execute(sa.select(sa.func.count()).select_from(volumes)).scalar_one()) == 1


def test_readers_do_not_wait_for_a_writer(database: str, store: Store) -> None:
    holder = start(HOLDER, database)
    started = time.monotonic()
    assert store.read("count", lambda tx: tx.execute(sa.select(sa.func.count()).select_from(volumes)).scalar_one()) == 0
    assert time.monotonic() - started < 1
    holder.kill()
    holder.communicate(timeout=10)


def test_a_foreign_writer_is_waited_for(database: str, store: Store) -> None:
    """The sqlite3 shell knows nothing of the gate."""
    path = sa.make_url(database).database
    assert path is not None
    foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    foreign.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, lambda: foreign.execute("COMMIT"))
    timer.start()
    store.run("work", lambda tx: tx.execute(sa.insert(volumes), volume_row()))
    timer.join()
    foreign.close()


def test_connections_give_their_gates_back(database: str, store: Store) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    store.run("work", lambda _tx: None)
    store.dispose()
    before = descriptors()
    for _ in range(5):
        store.run("work", lambda _tx: None)
        store.dispose()
    assert descriptors() == before

"""Protocol rule R7: a fenced incarnation's sessions are found by its name and ended, with the locks that they hold."""

import threading
import uuid

import pytest
import sqlalchemy as sa

from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Limits, Store, Tx
from breezeblock.store.sessions import terminate_sessions
from breezeblock.store.tables.protocol import worker_sessions
from tests.contract.store.conftest import Insert


class Zombie:
    """An incarnation that took a row lock and then stopped."""

    def __init__(self, database: str, volume_id: str) -> None:
        self.incarnation = str(uuid.uuid4())
        self.store = Store(database, name=self.incarnation, limits=Limits(idle_in_transaction=60))
        self.calls = 0
        self._volume_id = volume_id
        self._holds, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.errors: list[Exception] = []

    def sleep_with_a_lock(self) -> None:
        self._thread.start()
        assert self._holds.wait(10)

    def wake(self) -> None:
        self._wake.set()
        self._thread.join(20)
        self.store.dispose()

    def _run(self) -> None:
        try:
            self.store.run("zombie", self._work)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.errors.append(error)

    def _work(self, tx: Tx) -> None:
        self.calls += 1
        if self.calls > 1:
            raise InterruptedError
        tx.execute(sa.update(volumes).where(volumes.c.id == self._volume_id).values(status="zombie"))
        self._holds.set()
        self._wake.wait(20)


def status(store: Store, volume_id: str) -> str:
    query = sa.select(volumes.c.status).where(volumes.c.id == volume_id)
    return store.read("status", lambda tx: str(tx.execute(query).scalar_one()))


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
def test_its_locks_are_free_and_it_commits_nothing(database: str, store: Store, new_volume: Insert) -> None:
    volume_id = new_volume()
    zombie, bystander = Zombie(database, volume_id), Store(database, name=str(uuid.uuid4()))
    session = sa.select(sa.func.pg_backend_pid() if store.dialect == "postgresql" else sa.func.connection_id())
    before = bystander.read("session", lambda tx: tx.execute(session).scalar_one())
    zombie.sleep_with_a_lock()
    assert terminate_sessions(store, zombie.incarnation) == 1
    store.run("take", lambda tx: tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(status="taken")))
    zombie.wake()
    assert status(store, volume_id) == "taken"
    assert [type(error) for error in zombie.errors] == [InterruptedError]
    assert bystander.read("session", lambda tx: tx.execute(session).scalar_one()) == before
    bystander.dispose()


@pytest.mark.parametrize("database", ["mysql"], indirect=True)
def test_a_number_that_the_server_gave_out_anew_is_not_ended(database: str, store: Store) -> None:
    """After a restart of MariaDB a registered number may be an innocent's session."""
    bystander = Store(database, name="bystander")
    number = bystander.read("session", lambda tx: tx.execute(sa.select(sa.func.connection_id())).scalar_one())
    dead = str(uuid.uuid4())
    store.run("stale", lambda tx: tx.execute(sa.insert(worker_sessions), {"worker_id": dead, "session_id": number}))
    assert terminate_sessions(store, dead) == 0
    assert bystander.read("session", lambda tx: tx.execute(sa.select(sa.func.connection_id())).scalar_one()) == number
    assert store.read("rows", lambda tx: tx.execute(sa.select(worker_sessions)).all()) == []
    bystander.dispose()


@pytest.mark.parametrize("database", ["mysql"], indirect=True)
def test_only_incarnations_register(database: str, store: Store) -> None:
    assert store.read("rows", lambda tx: tx.execute(sa.select(worker_sessions)).all()) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_has_no_sessions(store: Store) -> None:
    assert terminate_sessions(store, str(uuid.uuid4())) == 0

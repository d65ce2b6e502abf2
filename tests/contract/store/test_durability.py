"""Protocol rule R8: what is acknowledged is on disk, and sessions behave alike on every database."""

import pytest
import sqlalchemy as sa

from breezeblock import errors
from breezeblock.store.engine import Store, Tx
from tests.support.databases import administer
from tests.support.servers import own_server, shared_server


def settings(store: Store, *expressions: str) -> list[str]:
    def work(tx: Tx) -> list[str]:
        return [str(tx.execute(sa.text(f"{expression}")).scalar_one()) for expression in expressions]

    return store.run("settings", work)


def refused(url: str) -> str:
    store = Store(url, name="test")
    with pytest.raises(errors.BadConfiguration) as refusal:
        store.read("ask", lambda tx: tx.execute(sa.text("SELECT 1")).scalar_one())
    store.dispose()
    return refusal.value.message


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_postgresql_without_synchronous_commit_is_refused(empty_database: str) -> None:
    server, name = shared_server("postgresql"), sa.make_url(empty_database).database
    administer(server, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert "Set synchronous_commit=on" in refused(empty_database)
    administer(server, f"ALTER DATABASE {name} SET synchronous_commit = local")
    assert settings(Store(empty_database, name="test"), "SHOW synchronous_commit") == ["local"]


def test_mariadb_that_may_lose_commits_is_refused() -> None:
    with own_server("mysql") as server:
        store = Store(server.url("mysql"), name="test")
        assert settings(store, "SELECT 1") == ["1"]
        store.dispose()
        for wrong in ("sync_binlog = 0", "innodb_flush_log_at_trx_commit = 2"):
            administer(server, f"SET GLOBAL {wrong}")
            message = refused(server.url("mysql"))
            assert wrong.replace(" ", "") in message
            assert "Set innodb_flush_log_at_trx_commit=1 and sync_binlog=1" in message
            administer(server, f"SET GLOBAL {wrong[:-1]}1")
        assert settings(store, "SELECT 1") == ["1"]
        store.dispose()


def test_sessions_are_set_up(store: Store) -> None:
    if store.dialect == "postgresql":
        shown = settings(store, *(f"SHOW {name}" for name in ("transaction_isolation", "statement_timeout", "lock_timeout")))
        assert shown == ["read committed", "2500ms", "2s"]
        assert settings(store, "SHOW idle_in_transaction_session_timeout", "SHOW application_name") == ["5s", "test"]
    elif store.dialect == "mysql":
        names = ("tx_isolation", "innodb_lock_wait_timeout", "max_statement_time", "idle_transaction_timeout")
        assert settings(store, *(f"SELECT @@{name}" for name in names)) == ["READ-COMMITTED", "2", "2.5", "5"]
        modes = settings(store, "SELECT @@sql_mode")[0].split(",")
        assert {"STRICT_TRANS_TABLES", "SIMULTANEOUS_ASSIGNMENT"} <= set(modes)
    else:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        assert settings(store, *(f"PRAGMA {name}" for name in names)) == ["wal", "2", "0", "2000"]


def test_text_is_equal_when_its_bytes_are(database: str) -> None:
    store = Store(database, name="test")
    query = sa.select(sa.literal("a") == sa.literal("A"), sa.literal("a") == sa.literal("a "), sa.literal("ä") == sa.literal("a"))
    assert [bool(answer) for answer in store.read("ask", lambda tx: tx.execute(query).one())] == [False, False, False]
    store.dispose()

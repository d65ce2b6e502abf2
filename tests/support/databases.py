"""The fixtures ``database`` and ``store``: every test that takes one runs on SQLite, PostgreSQL and MariaDB.

``database`` is the URL of a fresh, migrated database without rows (but those that always exist). To run on
some only: ``@pytest.mark.parametrize("database", ["sqlite"], indirect=True)``.
"""

import contextlib
import importlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from pymysql.cursors import Cursor

import breezeblock
import breezeblock.store.tables.protocol
from breezeblock.store import schema
from breezeblock.store.engine import Store
from breezeblock.store.tables import metadata
from tests.support.servers import Server, locked, shared_server

KINDS = ("sqlite", "postgresql", "mysql")


def all_tables() -> sa.MetaData:
    """The metadata with every table of the product in it."""
    for file in sorted(Path(breezeblock.__path__[0]).glob("resources/*/table.py")):
        importlib.import_module(f"breezeblock.resources.{file.parent.name}.table")
    return metadata


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    all_tables()
    if request.param == "sqlite":
        yield _sqlite(tmp_path, tmp_path_factory)
        return
    server = shared_server(request.param)
    name = _take(server)
    yield server.url(name)
    _CLEAN[request.param](server, name)
    _give_back(server, name)


@pytest.fixture(params=KINDS)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, for this test alone: it may do with it what it likes."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server = shared_server(request.param)
    name = f"empty_{uuid.uuid4().hex}"
    administer(server, f"CREATE DATABASE {name}")
    yield server.url(name)
    administer(server, f"DROP DATABASE {name}{' WITH (FORCE)' if request.param == 'postgresql' else ''}")


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """A store on ``database``."""
    store = Store(database, name="test")
    yield store
    store.dispose()


def administer(server: Server, *statements: str) -> None:
    """Execute statements as the superuser, outside of any transaction."""
    if server.kind == "postgresql":
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
        return
    with mariadb_cursor(server) as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextlib.contextmanager
def mariadb_cursor(server: Server, database: str | None = None) -> Iterator[Cursor]:
    """A cursor in autocommit mode."""
    connection = pymysql.connect(host="127.0.0.1", port=server.port, user="breezeblock", database=database, autocommit=True)
    with connection, connection.cursor() as cursor:
        yield cursor


def _sqlite(tmp_path: Path, factory: pytest.TempPathFactory) -> str:
    template = factory.getbasetemp() / "template.db"
    if not template.exists():
        schema.migrate(f"sqlite:///{template}")
    path = tmp_path / "breezeblock.db"
    shutil.copy(template, path)
    return f"sqlite:///{path}"


def _take(server: Server) -> str:
    """A database that an earlier test gave back, or a new one: making one takes several times as long as emptying it."""
    free = server.directory.parent / f"{server.kind}.free"
    with locked(server.directory.parent / f"{server.kind}.free.lock"):
        names = free.read_text().split() if free.exists() else []
        if names:
            free.write_text(" ".join(names[1:]))
            return names[0]
    name = f"test_{uuid.uuid4().hex}"
    administer(server, f"CREATE DATABASE {name}")
    schema.migrate(server.url(name))
    return name


def _give_back(server: Server, name: str) -> None:
    free = server.directory.parent / f"{server.kind}.free"
    with locked(server.directory.parent / f"{server.kind}.free.lock"):
        free.write_text(f"{free.read_text() if free.exists() else ''} {name}")


def _clean_postgresql(server: Server, name: str) -> None:
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        connection.execute(end, [name])
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        emptied = [f"DELETE FROM {table}{_ALWAYS_THERE.get(table, '')};" for (table,) in tables if table not in _KEPT]
        connection.execute("".join(emptied).encode())
        connection.execute("SELECT setval(schemaname || '.' || sequencename, 1, false) FROM pg_sequences")
        connection.execute(_RESET.encode())


def _clean_mariadb(server: Server, name: str) -> None:
    with mariadb_cursor(server, name) as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s AND id <> connection_id()", (name,))
        for (session,) in cursor.fetchall():
            with contextlib.suppress(pymysql.OperationalError):
                cursor.execute("KILL %s", (session,))
        cursor.execute("SHOW TABLES")
        for (table,) in cursor.fetchall():
            if table not in _KEPT:
                cursor.execute(f"DELETE FROM `{table}`{_ALWAYS_THERE.get(table, '')}")
        cursor.execute(_RESET)


_KEPT = ("deployment", "alembic_version")
_ALWAYS_THERE = {"volume_types": " WHERE name <> '__DEFAULT__'"}
_RESET = "UPDATE deployment SET db_term = 1, payload_pin = 1"
_CLEAN = {"postgresql": _clean_postgresql, "mysql": _clean_mariadb}

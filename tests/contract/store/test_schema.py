"""Migrations: what they make equals the tables that the code uses, on every database, however they are run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.store import schema
from breezeblock.store.engine import Store
from breezeblock.store.migrations import first
from breezeblock.store.schema import State
from tests.support.databases import KINDS, administer, all_tables
from tests.support.servers import shared_server

ROOT = Path(__file__).parents[3]
MIGRATE = "import sys; sys.stdin.readline(); from breezeblock.store import schema; schema.migrate(sys.argv[1])"
REVISION = """
from alembic import op

revision = "{branch}_0002"
down_revision = "{branch}_0001"


def upgrade():
    op.execute("ALTER TABLE volumes {change}")
"""
FRESH = """
import sys, time
from breezeblock.store import schema
started = time.perf_counter()
schema.migrate(sys.argv[1])
assert schema.at_head(sys.argv[1])
print(time.perf_counter() - started, "alembic" in sys.modules)
"""


@pytest.fixture
def engine(empty_database: str) -> Iterator[sa.Engine]:
    """A plain engine on the empty database."""
    engine = sa.create_engine(Store(empty_database, name="test").url)
    yield engine
    engine.dispose()


def described(engine: sa.Engine, names: list[str]) -> dict[str, Any]:
    """All that the database says of the tables, but for their comments."""
    inspector = sa.inspect(engine)
    return {name: _table(inspector, name) for name in names}


def _table(inspector: sa.Inspector, name: str) -> dict[str, Any]:
    columns = {}
    for column in inspector.get_columns(name):
        kind = column["type"].compile(inspector.dialect)
        columns[column["name"]] = (kind, column["nullable"], column["default"], column.get("autoincrement"))
    return {
        "columns": columns,
        "key": inspector.get_pk_constraint(name)["constrained_columns"],
        "unique": sorted(str(sorted(one["column_names"])) for one in inspector.get_unique_constraints(name)),
        "indexes": sorted(_index(one) for one in inspector.get_indexes(name)),
    }


def _index(index: Any) -> str:
    where = [str(value) for key, value in sorted(index.get("dialect_options", {}).items()) if key.endswith("where")]
    return f"{index['name']} {index['column_names']} {index['unique']} {where}"


def differences(migrated: dict[str, Any], declared: dict[str, Any]) -> list[str]:
    """In words, so that a failure says which column to add."""
    found = [f"table {name}" for name in migrated.keys() ^ declared.keys()]
    for name in migrated.keys() & declared.keys():
        for part, made in migrated[name].items():
            wanted = declared[name][part]
            if part == "columns":
                found += [
                    f"{name}.{key}: {made.get(key)}, declared {wanted.get(key)}"
                    for key in made | wanted
                    if made.get(key) != wanted.get(key)
                ]
            elif made != wanted:
                found.append(f"{name} {part}: {made}, declared {wanted}")
    return found


def declared_schema(engine: sa.Engine) -> dict[str, Any]:
    """What the code's own metadata makes, in a database that is emptied again."""
    metadata = all_tables()
    if engine.dialect.name == "mysql":
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"))
    metadata.create_all(engine)
    declared = described(engine, sorted(metadata.tables))
    metadata.drop_all(engine)
    if engine.dialect.name == "postgresql":
        declared["events"]["key"] = ["id", "at"]
    return declared


def tables_of(engine: sa.Engine) -> list[str]:
    return sorted(name for name in sa.inspect(engine).get_table_names() if name not in ("alembic_version", "events_default"))


@pytest.mark.parametrize("way", ["first", "alembic"])
def test_the_migrated_schema_is_the_declared_one(empty_database: str, engine: sa.Engine, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL alone differs: the key of a partitioned table holds what it is partitioned by."""
    declared = declared_schema(engine)
    if way == "alembic":
        monkeypatch.setattr(schema, "_begin", lambda _tx: None)
    schema.migrate(empty_database)
    assert schema.current(empty_database) == first.INCLUDES
    assert differences(described(engine, tables_of(engine)), declared) == []


def test_a_missing_column_is_seen(empty_database: str, engine: sa.Engine) -> None:
    """The comparison itself can fail."""
    declared = declared_schema(engine)
    schema.migrate(empty_database)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE volumes DROP COLUMN provider_id"))
        connection.execute(sa.text("CREATE INDEX odd ON snapshots (name)"))
    found = " ".join(differences(described(engine, tables_of(engine)), declared))
    assert "volumes.provider_id" in found
    assert "snapshots indexes" in found


def test_it_is_empty_then_ready_and_stays_so(empty_database: str) -> None:
    assert (schema.state(empty_database), schema.at_head(empty_database)) == (State.EMPTY, False)
    for _ in range(2):
        schema.migrate(empty_database)
        assert (schema.state(empty_database), schema.at_head(empty_database)) == (State.READY, True)
    store = Store(empty_database, name="test")
    rows = store.read("deployment", lambda tx: tx.execute(sa.text("SELECT id, db_term, payload_pin FROM deployment")).all())
    assert [tuple(row) for row in rows] == [(1, 1, 1)]
    store.dispose()


def test_a_migrated_database_keeps_its_rows(database: str, new_volume: Any) -> None:
    volume_id = new_volume()
    store = Store(database, name="test")
    store.run("term", lambda tx: tx.execute(sa.text("UPDATE deployment SET db_term = 5")))
    schema.migrate(database)
    rows = store.read("rows", lambda tx: tx.execute(sa.text("SELECT volumes.id, db_term FROM volumes, deployment")).all())
    assert [tuple(row) for row in rows] == [(volume_id, 5)]
    store.dispose()


def test_processes_that_migrate_at_the_same_instant(empty_database: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_database]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert [code for _, code in results] == [0, 0, 0], results
    assert schema.state(empty_database) is State.READY


@pytest.mark.parametrize("empty_database", ["mysql"], indirect=True)
def test_an_interrupted_migration_goes_on(empty_database: str, engine: sa.Engine) -> None:
    """MariaDB commits at every CREATE: a crash in between leaves some tables, and a table without its indexes."""
    declared = declared_schema(engine)
    schema.migrate(empty_database)
    with engine.begin() as connection:
        for statement in (
            "DROP TABLE alembic_version",
            "DROP TABLE volumes",
            "DROP INDEX ix_jobs_queued ON jobs",
            "DELETE FROM deployment",
        ):
            connection.execute(sa.text(statement))
    schema.migrate(empty_database)
    assert differences(described(engine, tables_of(engine)), declared) == []
    assert schema.at_head(empty_database)


def test_a_new_sqlite_database_is_ready_at_once(tmp_path: Path) -> None:
    """Start-up is a promise: no Alembic, one transaction."""
    command = [sys.executable, "-c", FRESH, f"sqlite:///{tmp_path}/fresh.db"]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True, timeout=60)
    seconds, loaded = done.stdout.split()
    assert loaded == "False"
    assert float(seconds) < 0.5


class TestBranches:
    @pytest.fixture
    def later(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A later version of the service, with one more revision on each branch."""
        migrations = tmp_path / "migrations"
        shutil.copytree(ROOT / "breezeblock/store/migrations", migrations, ignore=shutil.ignore_patterns("__pycache__"))
        for branch, change in (("expand", "ADD COLUMN colour VARCHAR(10)"), ("contract", "DROP COLUMN name")):
            (migrations / f"versions/{branch}_0002.py").write_text(REVISION.format(branch=branch, change=change))
        monkeypatch.setattr(schema, "_MIGRATIONS", migrations)

    def columns(self, engine: sa.Engine) -> set[str]:
        return {column["name"] for column in sa.inspect(engine).get_columns("volumes")}

    def test_expand_first_and_contract_later(self, empty_database: str, engine: sa.Engine, request: pytest.FixtureRequest) -> None:
        schema.migrate(empty_database)
        request.getfixturevalue("later")
        assert schema.state(empty_database) is State.BEHIND
        schema.migrate(empty_database, phase="expand")
        assert (schema.state(empty_database), schema.at_head(empty_database)) == (State.READY, False)
        assert {"colour", "name"} <= self.columns(engine)
        schema.migrate(empty_database)
        assert schema.current(empty_database) == ("contract_0002", "expand_0002")
        assert "name" not in self.columns(engine)

    @pytest.mark.usefixtures("later")
    def test_an_empty_database_gets_all(self, empty_database: str, engine: sa.Engine) -> None:
        schema.migrate(empty_database)
        assert schema.at_head(empty_database)
        assert "colour" in self.columns(engine)

    @pytest.mark.usefixtures("later")
    def test_an_older_version_leaves_a_newer_schema_alone(
        self, empty_database: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schema.migrate(empty_database)
        monkeypatch.undo()
        before = self.columns(engine)
        schema.migrate(empty_database)
        assert schema.state(empty_database) is State.NEWER
        assert self.columns(engine) == before


def test_revisions_are_named_after_their_files() -> None:
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory(str(ROOT / "breezeblock/store/migrations"))
    revisions = {script.revision: Path(script.path).stem for script in directory.walk_revisions()}
    assert all(revision == stem and re.fullmatch(r"initial|(expand|contract)_\d{4}", stem) for revision, stem in revisions.items())
    assert set(directory.get_heads()) == set(schema._newest(schema._revisions()))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_a_database_that_does_not_exist_is_not_away_for_ever(kind: str) -> None:
    """An operator's typing error must not hang."""
    server = shared_server(kind)
    administer(server, "SELECT 1")
    with pytest.raises(Exception, match=r"(?i)unknown database|does not answer"):
        schema.current(server.url("no_such_database"))

"""The schema's state: where it stands, and how it gets to the newest revision. Never guesses, never goes back.

Alembic is loaded only when there are revisions to apply: asking takes one query, and an empty database
gets the first schema without it.
"""

import enum
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from breezeblock.store.engine import Limits, Store, Tx
from breezeblock.store.migrations import first

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x627265657A65
"""For PostgreSQL's advisory lock: "breeze"."""
_LOCK_NAME = "breezeblock.migrate"
_PATIENT = Limits(statement=600, answer=5, lock=120, idle_in_transaction=600, contended=180, pool_size=1, pool_overflow=0)


class State(enum.Enum):
    """What a schema is to this version of the service."""

    EMPTY = "there is no schema yet"
    BEHIND = "it must be migrated before this version can start"
    READY = "it has all that this version needs"
    NEWER = "a newer version has migrated it, and left everything that this version needs"


def current(url: str) -> tuple[str, ...]:
    """The revisions that the database at ``url`` stands at; empty before the first migration."""
    store = Store(url, name="schema", limits=_PATIENT)
    try:
        return store.read("schema.current", _current)
    finally:
        store.dispose()


def state(url: str) -> State:
    """What the schema at ``url`` is to this version."""
    return _state(current(url))


def at_head(url: str) -> bool:
    """Whether nothing is left to migrate. One query; loads nothing."""
    return set(_newest(_revisions())) <= set(current(url))


def migrate(url: str, *, phase: Literal["expand", "all"] = "all") -> None:
    """Bring the database at ``url`` to the newest schema; nothing happens when it is there already.

    ``phase="expand"`` only adds, for the time in which the older version still runs. Safe when several processes do it at
    once: one migrates, the others wait and find it done. Raises errors.DatabaseAway when the database cannot be reached.
    """
    store = Store(url, name="migrate", limits=_PATIENT)
    branches = ("expand",) if phase == "expand" else ("expand", "contract")
    wanted = {revision for revision in _newest(_revisions()) if revision.startswith(branches)}

    def work(tx: Tx) -> None:
        _lock(tx)
        try:
            if not _current(tx):
                _begin(tx)
            if _state(_current(tx)) is not State.NEWER and not wanted <= set(_current(tx)):
                _upgrade(tx, branches)
        finally:
            _unlock(tx)

    try:
        known = store.read("schema.current", _current)
        if _state(known) is not State.NEWER and not wanted <= set(known):
            store.run("schema.migrate", work)
    finally:
        store.dispose()


def _current(tx: Tx) -> tuple[str, ...]:
    if not tx.has_table("alembic_version"):
        return ()
    return tuple(sorted(tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()))


def _state(revisions: tuple[str, ...]) -> State:
    known = _revisions()
    if not revisions:
        return State.EMPTY
    if not set(revisions) <= set(known):
        return State.NEWER
    return State.READY if _newest(known)[0] in revisions else State.BEHIND


def _revisions() -> list[str]:
    """Every revision of this version: its files' names."""
    return sorted(file.stem for file in (_MIGRATIONS / "versions").glob("*.py") if file.stem != "__init__")


def _newest(revisions: list[str]) -> tuple[str, str]:
    """The newest expanding and the newest contracting one."""
    expand, contract = (max(one for one in revisions if one.startswith(branch)) for branch in ("expand_", "contract_"))
    return expand, contract


def _lock(tx: Tx) -> None:
    """One migrates at a time. SQLite's gate is held already."""
    if tx.dialect == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    elif tx.dialect == "mysql":
        tx.execute(sa.select(sa.func.get_lock(_LOCK_NAME, _PATIENT.lock)))


def _unlock(tx: Tx) -> None:
    """PostgreSQL's lock ends with the transaction; MariaDB's would last as long as the session."""
    if tx.dialect == "mysql":
        tx.execute(sa.select(sa.func.release_lock(_LOCK_NAME)))


def _begin(tx: Tx) -> None:
    """Make the first schema in an empty database."""
    first.create(tx.connection_for_migrations)
    table = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), nullable=False))
    table.append_constraint(sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"))
    tx.execute(sa.schema.CreateTable(table, if_not_exists=True))
    tx.execute(sa.insert(table), [{"version_num": revision} for revision in first.INCLUDES])


def _upgrade(tx: Tx, branches: tuple[str, ...]) -> None:
    from alembic import command  # noqa: PLC0415 - loading it takes longer than making the first schema
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = tx.connection_for_migrations
    for branch in branches:
        command.upgrade(config, f"{branch}@head")

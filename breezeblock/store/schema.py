"""The schema's state: create it, bring it to the newest revision, say where it stands."""

import datetime
import uuid

import sqlalchemy as sa

from breezeblock.store.engine import Store, Tx
from breezeblock.store.mariadb import COLLATION
from breezeblock.store.tables import metadata
from breezeblock.store.tables.protocol import deployment


def migrate(url: str) -> None:
    """Bring the database at ``url`` to the newest schema; nothing happens when it is there already."""
    store, type_id = Store(url, name="migrate"), str(uuid.uuid4())

    def work(tx: Tx) -> None:
        if tx.dialect == "mysql":
            tx.execute(sa.text(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {COLLATION}"))
        metadata.create_all(tx._frame.connection)  # noqa: SLF001 - the one place that needs a bare connection
        _seed(tx, type_id)

    try:
        store.run("migrate", work)
    finally:
        store.dispose()


def _seed(tx: Tx, type_id: str) -> None:
    """The rows that always exist: the deployment's one, and the volume type of volumes that ask for none."""
    if tx.execute(sa.select(deployment.c.id)).first() is not None:
        return
    tx.execute(sa.insert(deployment), {"id": 1, "db_term": 1, "payload_pin": 1})
    kind = {"id": type_id, "name": "__DEFAULT__", "description": "Of volumes that ask for no type.", "is_public": True, "extra_specs": {}}
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    tx.execute(sa.insert(metadata.tables["volume_types"]), kind | {"created_at": now})

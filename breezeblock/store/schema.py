"""The schema's state: create it, bring it to the newest revision, say where it stands."""

import sqlalchemy as sa

from breezeblock.store.engine import Store, Tx
from breezeblock.store.mariadb import COLLATION
from breezeblock.store.tables import metadata
from breezeblock.store.tables.protocol import deployment


def migrate(url: str) -> None:
    """Bring the database at ``url`` to the newest schema; nothing happens when it is there already."""
    store = Store(url, name="migrate")

    def work(tx: Tx) -> None:
        if tx.dialect == "mysql":
            tx.execute(sa.text(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {COLLATION}"))
        metadata.create_all(tx._frame.connection)  # noqa: SLF001 - the one place that needs a bare connection
        if tx.execute(sa.select(deployment.c.id)).first() is None:
            tx.execute(sa.insert(deployment), {"id": 1, "db_term": 1, "payload_pin": 1})

    try:
        store.run("migrate", work)
    finally:
        store.dispose()

"""A fenced incarnation's database sessions: found by its name, and ended, since they may hold row locks (protocol rule R7).

PostgreSQL names a session by its ``application_name``. MariaDB cannot, so each session of an incarnation
registers its number in ``worker_sessions`` and holds a named lock that proves the number to be its own:
numbers are given out anew when the server restarts.
"""

import sqlalchemy as sa

from breezeblock.store.dialect import Trouble
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import worker_sessions

_TERMINATE = sa.text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = :name AND pid <> pg_backend_pid()",
)
_LIVE = sa.text(
    "SELECT session_id FROM worker_sessions WHERE worker_id = :name AND IS_USED_LOCK(CONCAT(worker_id, ':', session_id)) = session_id",
)


def terminate_sessions(store: Store, worker_id: str) -> int:
    """End the sessions of the incarnation ``worker_id``, and return how many there were. Uncommitted work is rolled back.

    Not for one's own incarnation. On SQLite nothing is to be done: a process that holds the gate holds it alone.
    Raises errors.DatabaseAway as every read does.
    """
    if store.dialect == "postgresql":
        return int(store.read("sessions.terminate", lambda tx: tx.execute(_TERMINATE, {"name": worker_id}).scalar_one()))
    if store.dialect == "sqlite":
        return 0
    live = store.read("sessions.live", lambda tx: [row.session_id for row in tx.execute(_LIVE, {"name": worker_id})])
    for session_id in live:
        _kill(store, session_id)
    store.run("sessions.forget", lambda tx: tx.execute(sa.delete(worker_sessions).where(worker_sessions.c.worker_id == worker_id)))
    return len(live)


def _kill(store: Store, session_id: int) -> None:
    try:
        store.read("sessions.kill", lambda tx: tx.execute(sa.text(f"KILL CONNECTION {session_id:d}")))
    except sa.exc.DBAPIError as error:
        if store.trouble(error) is not Trouble.OTHER:
            raise

"""Is the service of use: 200 only when the database answers and a volume worker is live; else 503 and the reason.

For supervisors and load balancers. Needs no authentication and says nothing but what is wrong.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import workers

VOLUME_QUEUES = "volume:"


def ailment(store: Store) -> str | None:
    """What is wrong, in one sentence; None when the service can create and attach volumes."""
    try:
        queues = store.read("healthcheck", _live_queues)
    except errors.Unavailable:
        return "the database does not answer"
    if not any(queue.startswith(VOLUME_QUEUES) for queue in queues):
        return "no volume worker is live"
    return None


def _live_queues(tx: Tx) -> Sequence[str]:
    rows = tx.execute(sa.select(workers.c.queues).where(workers.c.state == "live")).scalars()
    return [queue for queues in rows for queue in queues]

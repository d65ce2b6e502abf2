"""Pools as the scheduler and the API see them: reported capacity, promises, and the state of the services behind them."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.resources.services import rules as services_rules
from breezeblock.resources.services.table import services
from breezeblock.scheduler.model import Pool
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import pools

_KNOWN = (
    sa.select(pools, services.c.availability_zone, services.c.disabled, services.c.disabled_reason)
    .join_from(pools, services, sa.and_(services.c.queue == pools.c.queue, services.c.binary == services_rules.VOLUME), isouter=True)
    .order_by(pools.c.id)
)


def known(tx: Tx) -> list[Pool]:
    """Every pool that was ever reported and still is, or still holds volumes. Two statements, whatever their number.

    A pool whose queue several services share is in use while one of them is enabled.
    """
    alive = {queue for _, queue in services_rules.serving(tx)}
    result: dict[str, Pool] = {}
    for row in (found._asdict() for found in tx.execute(_KNOWN)):
        pool = _pool(row, up=row["queue"] in alive)
        if pool.id not in result or (pool.enabled and not result[pool.id].enabled):
            result[pool.id] = pool
    return list(result.values())


def _pool(row: Mapping[str, Any], *, up: bool) -> Pool:
    return Pool(
        id=row["id"],
        queue=row["queue"],
        backend=row["backend"],
        name=row["name"],
        total_gib=row["total_gib"],
        free_gib=row["free_gib"],
        allocated_gib=row["allocated_gib"],
        provisioned_gib=row["provisioned_gib"],
        thin=row["thin"],
        reserved_percentage=row["reserved_percentage"],
        max_over_subscription_ratio=row["max_over_subscription_ratio"],
        capabilities=row["capabilities"],
        reported_at=row["reported_at"].isoformat(),
        zone=row["availability_zone"] or "",
        up=up,
        enabled=row["disabled"] is False,
        disabled_reason=row["disabled_reason"],
    )

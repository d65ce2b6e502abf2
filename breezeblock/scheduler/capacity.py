"""How much a pool may promise, once as arithmetic for Python and for SQL, and the reservations that nobody can overrun.

A reservation is ONE guarded UPDATE of the pool's hot row, after the resources and before the quotas, last
before the commit (protocol rule R9). ``provisioned_gib`` is the sum of the sizes of the pool's volumes and
changes only here, in the transactions of those volumes; a report of the backend never touches it.
"""

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.scheduler.model import Pool
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import pools
from breezeblock.store.upsert import Incoming, upsert

_log = logging.getLogger(__name__)


def _promised(size: Any, provisioned: Any, total: Any, reserved: Any, ratio: Any) -> Any:
    """Whether all promises together stay within (ratio - reserved) of the capacity. In hundredths, so that nothing is divided."""
    return (provisioned + size) * 100 <= total * (ratio * 100 - reserved)


def _backed(size: Any, free: Any, total: Any, reserved: Any, ratio: Any) -> Any:
    """Whether what the backend last reported as free, less the reserve, backs this one promise."""
    return size * 100 <= (free * 100 - total * reserved) * ratio


def _ratio(pool: Pool) -> float:
    return pool.max_over_subscription_ratio if pool.thin else 1.0


def fits(pool: Pool, size_gib: int) -> bool:
    """Whether ``size_gib`` more may be promised. The guard of :func:`reserve` is the same arithmetic, in SQL."""
    ratio = _ratio(pool)
    return bool(
        _promised(size_gib, pool.provisioned_gib, pool.total_gib, pool.reserved_percentage, ratio)
        and _backed(size_gib, pool.free_gib, pool.total_gib, pool.reserved_percentage, ratio)
    )


def room_gib(pool: Pool) -> float:
    """GiB that may still be promised; negative when a report shrank the pool below its promises."""
    ratio = _ratio(pool)
    promises = pool.total_gib * (ratio * 100 - pool.reserved_percentage) / 100 - pool.provisioned_gib
    backing = (pool.free_gib - pool.total_gib * pool.reserved_percentage / 100) * ratio
    return min(promises, backing)


_ROOM = sa.case((pools.c.thin, pools.c.max_over_subscription_ratio), else_=sa.literal(1.0, sa.Double()))
_SIZE = sa.bindparam("gib", type_=sa.BigInteger())
_POOL = sa.bindparam("pool", type_=sa.String())
_RESERVE = (
    sa.update(pools)
    .where(
        pools.c.id == _POOL,
        _promised(_SIZE, pools.c.provisioned_gib, pools.c.total_gib, pools.c.reserved_percentage, _ROOM),
        _backed(_SIZE, pools.c.free_gib, pools.c.total_gib, pools.c.reserved_percentage, _ROOM),
    )
    .values(provisioned_gib=pools.c.provisioned_gib + _SIZE)
)
_RELEASE = (
    sa.update(pools).where(pools.c.id == _POOL, pools.c.provisioned_gib >= _SIZE).values(provisioned_gib=pools.c.provisioned_gib - _SIZE)
)


def reserve(tx: Tx, pool_id: str, size_gib: int) -> bool:
    """Promise ``size_gib`` of the pool. False, and nothing changed, when it does not fit (any more) or the pool is gone."""
    return tx.execute(_RESERVE, {"pool": pool_id, "gib": size_gib}).rowcount == 1


def grow(tx: Tx, pool_id: str, from_gib: int, to_gib: int) -> bool:
    """Promise what a volume grows by; False when it does not fit."""
    return reserve(tx, pool_id, to_gib - from_gib)


def release(tx: Tx, pool_id: str, size_gib: int) -> None:
    """Give back what :func:`reserve` or :func:`grow` took.

    Raises errors.CounterBroken, loudly, when the pool never promised that much: that is a bug, and is never clipped.
    """
    if tx.execute(_RELEASE, {"pool": pool_id, "gib": size_gib}).rowcount != 1:
        broken = errors.CounterBroken(counter=f"provisioned_gib of pool {pool_id}", change=-size_gib)
        _log.critical("%s", broken)
        raise broken


def _as_reported(incoming: Incoming) -> dict[str, Any]:
    return {name: incoming[name] for name in ("queue", "reported_at", *(field.name for field in fields(Report))) if name != "id"}


@dataclass(frozen=True, slots=True)
class Report:
    """What a backend says of one of its pools, and what its section of the configuration adds."""

    id: str
    """host@backend#pool."""
    backend: str
    name: str
    total_gib: float
    free_gib: float
    allocated_gib: float
    thin: bool
    reserved_percentage: int
    max_over_subscription_ratio: float
    capabilities: Mapping[str, Any]


def report(tx: Tx, queue: str, reports: Sequence[Report], now: datetime.datetime) -> None:
    """Store the capacities of all pools behind ``queue``; promises stay as they are.

    A pool that is no longer reported is forgotten, or takes nothing new for as long as it holds volumes.
    """
    for one in sorted(reports, key=lambda one: one.id):
        tx.execute(upsert(tx, pools, asdict(one) | {"queue": queue, "reported_at": now}, _as_reported))
    gone = (pools.c.queue == queue, pools.c.id.not_in([one.id for one in reports]))
    tx.execute(sa.delete(pools).where(*gone, pools.c.provisioned_gib == 0))
    tx.execute(sa.update(pools).where(*gone, pools.c.total_gib != 0).values(total_gib=0, free_gib=0, reported_at=now))

"""The better of several possible pools. Pure, and the same for the same request.

The pool with the most room comes first. Pools within a twentieth of the best are as good as each other, and
each request orders those by itself: so many requests at once do not all reach for one row.
"""

import hashlib
from collections.abc import Iterable

from breezeblock.scheduler.capacity import room_gib
from breezeblock.scheduler.model import Pool, Wanted

BANDS = 20


def ordered(pools: Iterable[Pool], wanted: Wanted) -> list[Pool]:
    """The pools, best first."""
    rooms = {pool.id: (pool, room_gib(pool)) for pool in pools}
    most = max((room for _, room in rooms.values()), default=0.0)

    def rank(entry: tuple[Pool, float]) -> tuple[int, bytes]:
        pool, room = entry
        return int(BANDS * (1 - room / most)) if most > 0 else 0, _lot(wanted.seed, pool.id)

    return [pool for pool, _ in sorted(rooms.values(), key=rank)]


def _lot(seed: str, pool_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{pool_id}".encode(), digest_size=8).digest()

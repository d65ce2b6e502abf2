"""From the settings to a store: the bounds of waiting that a process has, by what it is for."""

from collections.abc import Callable

from breezeblock.config import Settings
from breezeblock.store.dialect import Limits
from breezeblock.store.engine import Store


def open_store(settings: Settings, name: str, reach: Callable[[str], None]) -> Store:
    """The store of requests and jobs. ``name`` is the incarnation or the role, which the database's sessions carry."""
    database = settings.database
    limits = Limits(
        connect=database.connect_timeout,
        statement=database.statement_timeout,
        lock=database.lock_timeout,
        idle_in_transaction=database.idle_timeout,
        pool_size=database.pool_size,
        pool_overflow=database.max_overflow,
        pool_wait=database.pool_timeout,
    )
    return Store(database.connection, name=name, reach=reach, limits=limits)


def open_lease_store(settings: Settings, name: str, reach: Callable[[str], None]) -> Store:
    """One connection for the beats alone, with bounds that fit into the lease (protocol rule R4)."""
    seconds = settings.lease.statement_timeout
    limits = Limits(
        connect=seconds, statement=seconds, lock=seconds, idle_in_transaction=seconds, away=seconds, pool_size=1, pool_overflow=0
    )
    return Store(settings.database.connection, name=name, reach=reach, limits=limits)

"""From the settings to a store: the bounds of waiting that a process has, by what it is for."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import sqlalchemy as sa

from breezeblock.config import Settings
from breezeblock.store.dialect import Limits
from breezeblock.store.engine import Store

if TYPE_CHECKING:
    # It needs the driver of one database, which the others do not.
    from breezeblock.store.notify import Listener, Notifier


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


def open_notifier(settings: Settings, name: str) -> "Notifier | None":
    """What tells other hosts of committed work; None where the database cannot."""
    if not _can_notify(settings):
        return None
    from breezeblock.store.notify import Notifier  # noqa: PLC0415

    return Notifier(settings.database, name)


def open_listener(settings: Settings, name: str, queues: Collection[str]) -> "Listener | None":
    """What hears of work for ``queues`` that other hosts committed; None where the database cannot tell."""
    if not _can_notify(settings):
        return None
    from breezeblock.store.notify import Listener  # noqa: PLC0415

    return Listener(settings.database, name, queues)


def _can_notify(settings: Settings) -> bool:
    return sa.make_url(settings.database.connection).get_backend_name() == "postgresql"

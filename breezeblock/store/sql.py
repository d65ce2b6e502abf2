"""Expressions that say the same on every database."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class now_ms(FunctionElement[int]):  # noqa: N801 - it reads as the SQL function that it is
    """The database's clock in milliseconds since 1970: for expiry only, never for ownership (protocol rule R5)."""

    type = sa.BigInteger()
    inherit_cache = True


class database_node(FunctionElement[str]):  # noqa: N801
    """Which database server executes the statement; each beat records it (protocol rule R8)."""

    type = sa.String(255)
    inherit_cache = True


_NOW = {
    "sqlite": "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)",
    "mysql": "CAST(FLOOR(UNIX_TIMESTAMP(SYSDATE(6)) * 1000) AS SIGNED)",
}
_NODE = {
    "sqlite": "'local'",
    "postgresql": "(coalesce(host(inet_server_addr()), 'local') || ':' || current_setting('port'))",
    "mysql": "CONCAT(@@hostname, ':', @@port)",
}


@compiles(now_ms)
def _now_ms(element: now_ms, compiler: Any, **options: Any) -> str:
    return _NOW[compiler.dialect.name]


@compiles(database_node)
def _database_node(element: database_node, compiler: Any, **options: Any) -> str:
    return _NODE[compiler.dialect.name]


def for_key_share(select: sa.Select[Any]) -> sa.Select[Any]:
    """Hold the rows against deletion and :func:`for_update`, and share them with other holders. Nothing on SQLite, which has one writer.

    On PostgreSQL a plain UPDATE passes beside it: sharers who keep joining would starve one there. MariaDB, where an UPDATE
    waits, lets nobody join once it does.
    """
    return select.with_for_update(read=True, key_share=True)


def for_update(select: sa.Select[Any], *, skip_locked: bool = False) -> sa.Select[Any]:
    """Hold the rows; with ``skip_locked`` only those that nobody holds. Nothing on SQLite, which has one writer."""
    return select.with_for_update(skip_locked=skip_locked)

"""MariaDB through PyMySQL: READ COMMITTED, strict, rows matched, and nothing acknowledged that is not on disk (R7, R8)."""

import uuid
from collections.abc import Sequence
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysql.constants import CLIENT, ER

from breezeblock import errors
from breezeblock.store.dialect import Limits, Trouble

NAME = "mysql"
COLLATION = "utf8mb4_nopad_bin"
"""Text is equal when its bytes are, as on the other databases: 'A' is not 'a', and 'a ' is not 'a'."""
_MODES = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,SIMULTANEOUS_ASSIGNMENT"
_CONTENDED = {ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT}
_DUPLICATE = {ER.DUP_ENTRY, 1586}
_STATEMENT_TIMEOUT = 1969
_LOST = {2002, 2003, 2006, 2013, 2014, 2055, 1040, 1047, 1053, 1077, 1152, 1159, 1160, 1161, 1184, 1290, 1317, 1792, 1927, 4031}
"""Connections that ended or are refused, servers that stop, that left their cluster, or that became read-only in a failover."""


def normal_url(url: sa.URL) -> sa.URL:
    """The URL with PyMySQL as its driver."""
    return url.set(drivername="mysql+pymysql")


def engine_options(name: str, limits: Limits) -> dict[str, Any]:
    """UPDATE counts the rows that it matched, whether or not it changed them."""
    connect = {
        "charset": "utf8mb4",
        "client_flag": CLIENT.FOUND_ROWS,
        "autocommit": True,
        "connect_timeout": max(1, round(limits.connect)),
        "read_timeout": limits.statement + limits.answer,
        "write_timeout": limits.statement + limits.answer,
        "program_name": name,
    }
    return {"connect_args": connect, "isolation_level": "AUTOCOMMIT"}


def connect(arguments: Sequence[Any], keywords: dict[str, Any], limits: Limits) -> "pymysql.connections.Connection[Any]":
    """Connect."""
    return pymysql.connect(*arguments, **keywords)


def prepare(raw: "pymysql.connections.Connection[Any]", name: str, limits: Limits) -> None:
    """Two round trips: the session's modes and bounds, and the check that a commit is on disk when it is acknowledged."""
    lock = max(1, round(limits.lock))
    settings = {
        "tx_isolation": "READ-COMMITTED",
        "sql_mode": _MODES,
        "collation_connection": COLLATION,
        "innodb_lock_wait_timeout": lock,
        "lock_wait_timeout": lock,
        "max_statement_time": limits.statement,
        "idle_transaction_timeout": max(1, round(limits.idle_in_transaction)),
    }
    with raw.cursor() as cursor:
        cursor.execute(f"SET SESSION {', '.join(f'{setting} = %s' for setting in settings)}", list(settings.values()))
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog")
        row = cursor.fetchone()
    flush, sync = row if row is not None else (None, None)
    wrong = [f"{setting}={value}" for setting, value in (("innodb_flush_log_at_trx_commit", flush), ("sync_binlog", sync)) if value != 1]
    if wrong:
        raise errors.BadConfiguration(
            reason=f"MariaDB runs with {' and '.join(wrong)}, so that a commit it acknowledged may be lost."
            " Set innodb_flush_log_at_trx_commit=1 and sync_binlog=1 in the server's configuration"
        )
    if _is_incarnation(name):
        _register(raw, name)


def _is_incarnation(name: str) -> bool:
    """Whether a session's owner is a worker, whose names are UUIDs."""
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _register(raw: "pymysql.connections.Connection[Any]", incarnation: str) -> None:
    """Let the session be found and ended when its owner is fenced (R7)."""
    with raw.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(CONCAT(%s, ':', CONNECTION_ID()), 0)", (incarnation,))
        try:
            cursor.execute("REPLACE INTO worker_sessions (worker_id, session_id) VALUES (%s, CONNECTION_ID())", (incarnation,))
        except pymysql.ProgrammingError as error:
            if error.args[0] != ER.NO_SUCH_TABLE:
                raise


def begin(raw: "pymysql.connections.Connection[Any]") -> None:
    """Begin."""
    raw.begin()


def commit(raw: "pymysql.connections.Connection[Any]") -> None:
    """Commit."""
    raw.commit()


def rollback(raw: "pymysql.connections.Connection[Any]") -> None:
    """Roll back all of it; a lock wait timeout has undone its own statement only."""
    raw.rollback()


def classify(error: BaseException) -> Trouble:
    """Read the server's error number; PyMySQL's own errors of a broken connection carry one too, or 0."""
    if not isinstance(error, pymysql.MySQLError):
        return Trouble.OTHER
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    if number in _CONTENDED:
        return Trouble.CONTENDED
    if number == _STATEMENT_TIMEOUT:
        return Trouble.SLOW
    if number in _DUPLICATE:
        return Trouble.DUPLICATE
    if number in _LOST or isinstance(error, pymysql.InterfaceError):
        return Trouble.LOST
    return Trouble.OTHER

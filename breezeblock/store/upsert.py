"""Insert a row that may exist already, the same way on every database. It never hides another error."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

if TYPE_CHECKING:
    from breezeblock.store.engine import Tx

Incoming = Mapping[str, Any]
"""The values of the row that was to be inserted, as expressions, by column name."""


def upsert(tx: "Tx", table: sa.Table, row: Mapping[str, Any], change: Callable[[Incoming], Mapping[str, Any]]) -> sa.Insert:
    """INSERT ``row``; where its primary key exists, set what ``change`` says instead.

    Either way the row is locked at once. Several of them in one transaction: in the order of their keys (protocol rule R9).
    """
    if tx.dialect == "mysql":
        replacing = mysql.insert(table).values(dict(row))
        return replacing.on_duplicate_key_update(dict(change(_by_name(replacing.inserted))))
    insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    statement = insert(table).values(dict(row))
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=dict(change(_by_name(statement.excluded))))


def insert_missing(tx: "Tx", table: sa.Table, row: Mapping[str, Any], unique: str) -> sa.Insert:
    """INSERT ``row`` unless its key, the primary or another unique one, exists; ``unique`` is a column to set to itself then."""
    if tx.dialect == "mysql":
        return mysql.insert(table).values(dict(row)).on_duplicate_key_update({unique: table.c[unique]})
    insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    return insert(table).values(dict(row)).on_conflict_do_nothing()


def _by_name(columns: Any) -> Incoming:
    return {column.name: column for column in columns}

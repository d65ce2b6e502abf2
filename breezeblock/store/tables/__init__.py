"""The metadata that every table belongs to, and the column types that mean the same on every database.

The protocol's own tables stand in :mod:`breezeblock.store.tables.protocol`; a resource's table
stands beside its verbs, in ``resources/<name>/table.py``. Two tables never share a row's truth.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = sa.String(36)
"""A UUID in its text form."""
Status = sa.String(40)
Name = sa.String(255)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
"""Naive UTC with microseconds: for people to read, never for ownership."""
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""An ascending key that the database gives out."""


def resource_columns() -> list[sa.Column[Any]]:
    """The columns that every resource with lanes has (protocol rules R2 and R3); guards stand on them."""
    return [
        sa.Column("id", Id, primary_key=True),
        sa.Column("project_id", Name, nullable=False),
        sa.Column("user_id", Name, nullable=False),
        sa.Column("status", Status, nullable=False),
        sa.Column("previous_status", Status),
        sa.Column("generation", sa.BigInteger(), nullable=False, default=1, server_default="1"),
        sa.Column("running_job", Id),
        sa.Column("live_jobs", sa.Integer(), nullable=False, default=0, server_default="0"),
        sa.Column("pins", sa.Integer(), nullable=False, default=0, server_default="0"),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("updated_at", Moment),
    ]

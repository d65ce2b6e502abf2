"""The snapshots table."""

import sqlalchemy as sa

from breezeblock.store.tables import Id, Json, Name, metadata, resource_columns

snapshots = sa.Table(
    "snapshots",
    metadata,
    *resource_columns(),
    sa.Column("volume_id", Id, nullable=False),
    sa.Column("name", Name),
    sa.Column("description", sa.String(1000)),
    sa.Column("size_gib", sa.Integer(), nullable=False),
    sa.Column("volume_type_id", Id),
    sa.Column("handle", Json),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("progress", sa.String(10)),
    sa.Column("consumes_quota", sa.Boolean(), nullable=False, default=True, server_default=sa.true()),
    sa.Column(
        "counts_gib",
        sa.Boolean(),
        nullable=False,
        default=True,
        server_default=sa.true(),
        comment="Whether its size was charged as gigabytes, by no_snapshot_gb_quota when it was made.",
    ),
    sa.Column("group_snapshot_id", Id),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "volume_id", "created_at"),
    info={"rank": 30},
)

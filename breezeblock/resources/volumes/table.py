"""The volumes table. Its counters are the guards' own columns (docs/explanation/guards.md)."""

import sqlalchemy as sa

from breezeblock.store.tables import Id, Json, Moment, Name, Status, metadata, resource_columns

volumes = sa.Table(
    "volumes",
    metadata,
    *resource_columns(),
    sa.Column("name", Name),
    sa.Column("description", sa.String(1000)),
    sa.Column("size_gib", sa.Integer(), nullable=False),
    sa.Column("attach_status", Status, nullable=False, default="detached", server_default="detached"),
    sa.Column("migration_status", Status),
    sa.Column("replication_status", Status),
    sa.Column("volume_type_id", Id),
    sa.Column("availability_zone", Name),
    sa.Column("pool_id", Name, comment="host@backend#pool: the host of the API; NULL until the scheduler chose."),
    sa.Column("cluster_name", Name),
    sa.Column("handle", Json, comment="The driver's; published by the fenced finish (R1)."),
    sa.Column("bootable", sa.Boolean(), nullable=False, default=False, server_default=sa.false()),
    sa.Column("readonly", sa.Boolean(), comment="NULL until somebody says."),
    sa.Column("multiattach", sa.Boolean(), nullable=False, default=False, server_default=sa.false()),
    sa.Column("consumes_quota", sa.Boolean(), nullable=False, default=True, server_default=sa.true()),
    sa.Column("snapshot_id", Id),
    sa.Column("source_volid", Id),
    sa.Column("group_id", Id),
    sa.Column("encryption_key_id", Id),
    sa.Column("provider_id", Name),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("image_metadata", Json, nullable=False),
    sa.Column("launched_at", Moment),
    sa.Column("snapshots", sa.Integer(), nullable=False, default=0, server_default="0", comment="Count of its snapshot rows."),
    sa.Column("attachments", sa.Integer(), nullable=False, default=0, server_default="0", comment="Count of its attachment rows."),
    sa.Column("attaching", sa.Integer(), nullable=False, default=0, server_default="0", comment="Those of them that are being connected."),
    sa.Column("attached", sa.Integer(), nullable=False, default=0, server_default="0", comment="Those of them that are attached."),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "pool_id"),
    info={"rank": 20},
)

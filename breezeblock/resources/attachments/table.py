"""The attachments table: who has, or may get, a volume's bytes."""

import sqlalchemy as sa

from breezeblock.store.tables import Id, Json, Moment, Name, Status, metadata

attachments = sa.Table(
    "attachments",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("volume_id", Id, nullable=False),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("user_id", Name, nullable=False),
    sa.Column("instance_id", Id),
    sa.Column("attached_host", Name),
    sa.Column("mountpoint", Name),
    sa.Column("mode", sa.String(4), nullable=False),
    sa.Column("attach_status", Status, nullable=False),
    sa.Column("connector", Json),
    sa.Column(
        "service", sa.String(20), comment="How it reaches the bytes: the export's protocol and mode, as nbd-rw; NULL while it does not."
    ),
    sa.Column("connection_info", sa.Text(), comment="Encrypted: it may hold secrets (R11)."),
    sa.Column(
        "legacy", sa.Boolean(), nullable=False, default=False, server_default=sa.false(), comment="Made by the actions of before 3.27."
    ),
    sa.Column("attached_at", Moment),
    sa.Column("detached_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "volume_id"),
    sa.Index(None, "project_id", "created_at", "id"),
    info={"rank": 40},
)

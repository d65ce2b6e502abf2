"""The services table: what an operator sees and switches. Whether one is up is read from the workers' beats."""

import sqlalchemy as sa

from breezeblock.store.tables import Id, Moment, Name, Serial, metadata

services = sa.Table(
    "services",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("uuid", Id, nullable=False),
    sa.Column(
        "binary", sa.String(40), nullable=False, comment="cinder-scheduler, cinder-volume, cinder-backup: the names that clients know."
    ),
    sa.Column("host", Name, nullable=False, comment="host, or host@backend."),
    sa.Column("queue", Name, nullable=False),
    sa.Column("availability_zone", Name, nullable=False),
    sa.Column("disabled", sa.Boolean(), nullable=False, default=False, server_default=sa.false()),
    sa.Column("disabled_reason", Name),
    sa.Column("worker_id", Id, comment="The latest incarnation that serves it."),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.UniqueConstraint("binary", "host"),
)

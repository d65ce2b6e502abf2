"""The volume types table."""

import sqlalchemy as sa

from breezeblock.store.tables import Id, Json, Moment, Name, metadata

volume_types = sa.Table(
    "volume_types",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Name, nullable=False, unique=True),
    sa.Column("description", sa.String(1000)),
    sa.Column("is_public", sa.Boolean(), nullable=False),
    sa.Column("extra_specs", Json, nullable=False),
    sa.Column("qos_specs_id", Id),
    sa.Column("generation", sa.BigInteger(), nullable=False, default=1, server_default="1"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    info={"rank": 10},
)

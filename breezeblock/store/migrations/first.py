"""The first schema. Until the first release, whoever changes a table changes it here too (a test compares).

Loads no Alembic: a service that starts on an empty database is ready sooner.
"""

import datetime
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

INCLUDES = ("contract_0001", "expand_0001")
"""The revisions that an empty database stands at once it has this."""
Id = sa.String(36)
Name = sa.String(255)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAMES = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
_DEFAULT_TYPE = {"name": "__DEFAULT__", "description": "Of volumes that ask for no type.", "is_public": True, "extra_specs": {}}

tables = sa.MetaData(naming_convention=NAMES)

sa.Table(
    "attachments",
    tables,
    sa.Column("id", Id, primary_key=True),
    sa.Column("volume_id", Id, nullable=False),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("user_id", Name, nullable=False),
    sa.Column("instance_id", Id),
    sa.Column("attached_host", Name),
    sa.Column("mountpoint", Name),
    sa.Column("mode", sa.String(4), nullable=False),
    sa.Column("attach_status", sa.String(40), nullable=False),
    sa.Column("connector", Json),
    sa.Column("service", sa.String(20)),
    sa.Column("connection_info", sa.Text()),
    sa.Column("legacy", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("attached_at", Moment),
    sa.Column("detached_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "volume_id"),
)
sa.Table(
    "deployment",
    tables,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("db_term", sa.BigInteger(), nullable=False),
    sa.Column("payload_pin", sa.Integer(), nullable=False),
)
sa.Table(
    "events",
    tables,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("resource_id", Id, nullable=False),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("action", sa.String(60), nullable=False),
    sa.Column("from_status", sa.String(40)),
    sa.Column("to_status", sa.String(40)),
    sa.Column("job_id", Id),
    sa.Column("epoch", sa.BigInteger()),
    sa.Column("worker_id", Id),
    sa.Column("request_id", sa.String(60)),
    sa.Column("detail", sa.String(1000)),
    sa.Index(None, "at"),
    sa.Index(None, "resource_id", "id"),
)
sa.Table(
    "exports",
    tables,
    sa.Column("volume_id", Id, primary_key=True),
    sa.Column("host", Name, nullable=False),
    sa.Column("boot_id", sa.String(40), nullable=False),
    sa.Column("generation", sa.BigInteger(), nullable=False),
    sa.Column("queue", Name, nullable=False),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "host"),
)
sa.Table(
    "job_lanes",
    tables,
    sa.Column("job_id", Id, primary_key=True),
    sa.Column("resource_id", Id, primary_key=True),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("generation", sa.BigInteger(), nullable=False),
    sa.Column("shared", sa.Boolean(), nullable=False),
    sa.Index(None, "resource_id", "generation"),
)
sa.Table(
    "jobs",
    tables,
    sa.Column("seq", Serial, primary_key=True, autoincrement=True),
    sa.Column("id", Id, nullable=False, unique=True),
    sa.Column("kind", sa.String(60), nullable=False),
    sa.Column("version", sa.Integer(), nullable=False),
    sa.Column("payload", Json, nullable=False),
    sa.Column("queue", Name, nullable=False),
    sa.Column("class", sa.String(8), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("queued_ms", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("owner", Id),
    sa.Column("epoch", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("resource_id", Id, nullable=False),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("user_id", Name, nullable=False),
    sa.Column("request_id", sa.String(60)),
    sa.Column("suspect", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("checkpoint", Json),
    sa.Column("result", Json),
    sa.Column("error", Json),
    sa.Column("expires_at_ms", sa.BigInteger()),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("claimed_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Index(None, "ended_at"),
    sa.Index(None, "owner", postgresql_where=sa.text("state = 'claimed'"), sqlite_where=sa.text("state = 'claimed'")),
    sa.Index(
        "ix_jobs_queued",
        "state",
        "queue",
        "class",
        "project_id",
        "queued_ms",
        "seq",
        postgresql_where=sa.text("state = 'queued'"),
        sqlite_where=sa.text("state = 'queued'"),
    ),
    sa.Index(None, "resource_id"),
)
sa.Table(
    "messages",
    tables,
    sa.Column("id", Id, primary_key=True),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("resource_id", Id),
    sa.Column("event_id", sa.String(60), nullable=False),
    sa.Column("level", sa.String(10), nullable=False),
    sa.Column("text", sa.String(1000), nullable=False),
    sa.Column("request_id", sa.String(60)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Index(None, "project_id", "created_at"),
    sa.Index(None, "resource_id"),
)
sa.Table(
    "pools",
    tables,
    sa.Column("id", Name, primary_key=True),
    sa.Column("queue", Name, nullable=False),
    sa.Column("backend", Name, nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("total_gib", sa.Double(), nullable=False),
    sa.Column("free_gib", sa.Double(), nullable=False),
    sa.Column("allocated_gib", sa.Double(), nullable=False),
    sa.Column("provisioned_gib", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("thin", sa.Boolean(), nullable=False),
    sa.Column("reserved_percentage", sa.Integer(), nullable=False),
    sa.Column("max_over_subscription_ratio", sa.Double(), nullable=False),
    sa.Column("capabilities", Json, nullable=False),
    sa.Column("reported_at", Moment, nullable=False),
)
sa.Table(
    "quotas",
    tables,
    sa.Column("project_id", Name, primary_key=True),
    sa.Column("resource", Name, primary_key=True),
    sa.Column("in_use", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("hard_limit", sa.BigInteger()),
)
sa.Table(
    "services",
    tables,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("uuid", Id, nullable=False),
    sa.Column("binary", sa.String(40), nullable=False),
    sa.Column("host", Name, nullable=False),
    sa.Column("queue", Name, nullable=False),
    sa.Column("availability_zone", Name, nullable=False),
    sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("disabled_reason", Name),
    sa.Column("worker_id", Id),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.UniqueConstraint("binary", "host"),
)
sa.Table(
    "snapshots",
    tables,
    sa.Column("id", Id, primary_key=True),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("user_id", Name, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("previous_status", sa.String(40)),
    sa.Column("generation", sa.BigInteger(), nullable=False, server_default="1"),
    sa.Column("running_job", Id),
    sa.Column("live_jobs", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("pins", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Column("volume_id", Id, nullable=False),
    sa.Column("name", Name),
    sa.Column("description", sa.String(1000)),
    sa.Column("size_gib", sa.Integer(), nullable=False),
    sa.Column("volume_type_id", Id),
    sa.Column("handle", Json),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("progress", sa.String(10)),
    sa.Column("consumes_quota", sa.Boolean(), nullable=False, server_default=sa.true()),
    sa.Column("counts_gib", sa.Boolean(), nullable=False, server_default=sa.true()),
    sa.Column("group_snapshot_id", Id),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "volume_id", "created_at"),
)
sa.Table(
    "volume_types",
    tables,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Name, nullable=False, unique=True),
    sa.Column("description", sa.String(1000)),
    sa.Column("is_public", sa.Boolean(), nullable=False),
    sa.Column("extra_specs", Json, nullable=False),
    sa.Column("qos_specs_id", Id),
    sa.Column("generation", sa.BigInteger(), nullable=False, server_default="1"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
)
sa.Table(
    "volumes",
    tables,
    sa.Column("id", Id, primary_key=True),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("user_id", Name, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("previous_status", sa.String(40)),
    sa.Column("generation", sa.BigInteger(), nullable=False, server_default="1"),
    sa.Column("running_job", Id),
    sa.Column("live_jobs", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("pins", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Column("name", Name),
    sa.Column("description", sa.String(1000)),
    sa.Column("size_gib", sa.Integer(), nullable=False),
    sa.Column("attach_status", sa.String(40), nullable=False, server_default="detached"),
    sa.Column("migration_status", sa.String(40)),
    sa.Column("replication_status", sa.String(40)),
    sa.Column("volume_type_id", Id),
    sa.Column("availability_zone", Name),
    sa.Column("pool_id", Name),
    sa.Column("cluster_name", Name),
    sa.Column("handle", Json),
    sa.Column("bootable", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("readonly", sa.Boolean()),
    sa.Column("multiattach", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("consumes_quota", sa.Boolean(), nullable=False, server_default=sa.true()),
    sa.Column("snapshot_id", Id),
    sa.Column("source_volid", Id),
    sa.Column("group_id", Id),
    sa.Column("encryption_key_id", Id),
    sa.Column("provider_id", Name),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("image_metadata", Json, nullable=False),
    sa.Column("launched_at", Moment),
    sa.Column("snapshots", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("attachments", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("attaching", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("attached", sa.Integer(), nullable=False, server_default="0"),
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "pool_id"),
    sa.Index(None, "project_id", "created_at", "id"),
)
sa.Table(
    "worker_sessions",
    tables,
    sa.Column("worker_id", Id, primary_key=True),
    sa.Column("session_id", sa.BigInteger(), primary_key=True, autoincrement=False),
)
sa.Table(
    "workers",
    tables,
    sa.Column("id", Id, primary_key=True),
    sa.Column("host", Name, nullable=False),
    sa.Column("process", Name, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("beat", sa.BigInteger(), nullable=False),
    sa.Column("solo", sa.Boolean(), nullable=False),
    sa.Column("blamed", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("queues", Json, nullable=False),
    sa.Column("kinds", Json, nullable=False),
    sa.Column("database_node", Name),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Index(None, "state"),
)


def create(database: sa.Connection) -> None:
    """Create every table, and the rows that always exist. What an interrupted attempt has made already is left as it is."""
    kind = database.dialect.name
    if kind == "mysql":
        database.execute(sa.text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"))
    if kind == "postgresql":
        _partitioned(tables.tables["events"]).create(database, checkfirst=True)
        database.execute(sa.text("CREATE TABLE IF NOT EXISTS events_default PARTITION OF events DEFAULT"))
    tables.create_all(database)
    if kind == "mysql":
        for index in (index for table in tables.sorted_tables for index in table.indexes):
            index.create(database, checkfirst=True)
    _fill(database, tables.tables["deployment"], tables.tables["volume_types"])


def _partitioned(table: sa.Table) -> sa.Table:
    """The table, partitioned by its column ``at``, which its key must hold then."""
    key = {column.name for column in table.primary_key} | {"at"}
    columns = [
        sa.Column(column.name, column.type, primary_key=column.name in key, nullable=column.nullable, autoincrement=column.autoincrement)
        for column in table.columns
    ]
    indexes = [sa.Index(index.name, *index.columns.keys()) for index in table.indexes]
    return sa.Table(table.name, sa.MetaData(naming_convention=NAMES), *columns, *indexes, postgresql_partition_by="RANGE (at)")


def _fill(database: sa.Connection, deployment: sa.Table, volume_types: sa.Table) -> None:
    """The deployment's one row, and the type of volumes that ask for none."""
    if database.execute(sa.select(deployment.c.id)).first() is None:
        database.execute(sa.insert(deployment), {"id": 1, "db_term": 1, "payload_pin": 1})
    if database.execute(sa.select(volume_types.c.id)).first() is None:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        database.execute(sa.insert(volume_types), _DEFAULT_TYPE | {"id": str(uuid.uuid4()), "created_at": now})

"""The tables of the protocol: who is alive, what there is to do, what happened, and the hot counters."""

import sqlalchemy as sa

from breezeblock.store.sql import now_ms
from breezeblock.store.tables import Id, Json, Moment, Name, Serial, Status, metadata

deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("db_term", sa.BigInteger(), nullable=False),
    sa.Column("payload_pin", sa.Integer(), nullable=False),
    comment="One row, id 1. db_term rises when an operator accepts lost commits (R2, R8).",
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", Id, primary_key=True, comment="The incarnation: new at each start of a process."),
    sa.Column("host", Name, nullable=False),
    sa.Column("process", Name, nullable=False, comment="boot id, pid namespace, pid and start time, to find it on its own host."),
    sa.Column("state", sa.String(10), nullable=False, comment="live, fencing, fenced, gone"),
    sa.Column("beat", sa.BigInteger(), nullable=False),
    sa.Column("solo", sa.Boolean(), nullable=False, comment="Runs one suspect job, alone in its process (R5)."),
    sa.Column("blamed", sa.Boolean(), nullable=False, default=False, server_default=sa.false(), comment="It died of its one job."),
    sa.Column("queues", Json, nullable=False),
    sa.Column("kinds", Json, nullable=False, comment="Job kinds it can run, each with its payload versions."),
    sa.Column("database_node", Name, comment="The database server that took the last beat (R8)."),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Index(None, "state"),
)

worker_sessions = sa.Table(
    "worker_sessions",
    metadata,
    sa.Column("worker_id", Id, primary_key=True),
    sa.Column("session_id", sa.BigInteger(), primary_key=True, autoincrement=False),
    comment="Database sessions of an incarnation, where the database cannot name them (MariaDB); ended when it is fenced (R7).",
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("seq", Serial, primary_key=True, autoincrement=True),
    sa.Column("id", Id, nullable=False, unique=True, comment="Made before the transaction (R7)."),
    sa.Column("kind", sa.String(60), nullable=False, comment="The verb, as in volumes.extend."),
    sa.Column("version", sa.Integer(), nullable=False, comment="Of the payload; an unknown one stays queued."),
    sa.Column("payload", Json, nullable=False),
    sa.Column("queue", Name, nullable=False),
    sa.Column("class", sa.String(8), nullable=False, comment="sync, normal, long: each has slots of its own (R10)."),
    sa.Column("state", sa.String(10), nullable=False, comment="queued, claimed, done, failed, cancelled"),
    sa.Column(
        "queued_ms",
        sa.BigInteger(),
        nullable=False,
        default=now_ms(),
        server_default="0",
        comment="When it entered its queue, by the database's clock: the order of claims, and nothing else.",
    ),
    sa.Column("owner", Id, comment="The incarnation that claimed it."),
    sa.Column("epoch", sa.BigInteger(), nullable=False, default=0, server_default="0"),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("resource_id", Id, nullable=False),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("user_id", Name, nullable=False),
    sa.Column("request_id", sa.String(60)),
    sa.Column(
        "suspect", sa.Boolean(), nullable=False, default=False, server_default=sa.false(), comment="Its last holder died uncleanly (R5)."
    ),
    sa.Column("attempts", sa.Integer(), nullable=False, default=0, server_default="0", comment="Deaths of processes that ran it alone."),
    sa.Column("checkpoint", Json),
    sa.Column("result", Json, comment="Of a synchronous job; never holds a secret (R11)."),
    sa.Column("error", Json, comment="Stable code and message of a failure."),
    sa.Column("expires_at_ms", sa.BigInteger(), comment="By the database's clock; checked by the claim (R11)."),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("claimed_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Index("ix_jobs_owner", "owner", postgresql_where=sa.text("state = 'claimed'"), sqlite_where=sa.text("state = 'claimed'")),
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
    sa.Index("ix_jobs_resource_id", "resource_id"),
    sa.Index("ix_jobs_ended_at", "ended_at"),
)

job_lanes = sa.Table(
    "job_lanes",
    metadata,
    sa.Column("job_id", Id, primary_key=True),
    sa.Column("resource_id", Id, primary_key=True),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("generation", sa.BigInteger(), nullable=False, comment="The order within the lane, and part of the token (R2, R3)."),
    sa.Column("shared", sa.Boolean(), nullable=False, comment="A pin: readers share the lane, and are counted in pins."),
    sa.Index(None, "resource_id", "generation"),
    comment="The lanes of each unfinished job; live_jobs and pins of a resource count its rows here.",
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("resource_type", sa.String(40), nullable=False),
    sa.Column("resource_id", Id, nullable=False),
    sa.Column("project_id", Name, nullable=False),
    sa.Column("action", sa.String(60), nullable=False),
    sa.Column("from_status", Status),
    sa.Column("to_status", Status),
    sa.Column("job_id", Id),
    sa.Column("epoch", sa.BigInteger()),
    sa.Column("worker_id", Id),
    sa.Column("request_id", sa.String(60)),
    sa.Column("detail", sa.String(1000)),
    sa.Index(None, "resource_id", "id"),
    sa.Index(None, "at"),
)

quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("project_id", Name, primary_key=True),
    sa.Column("resource", Name, primary_key=True, comment="volumes, gigabytes, snapshots, and each with _<type name>."),
    sa.Column("in_use", sa.BigInteger(), nullable=False, default=0, server_default="0"),
    sa.Column("hard_limit", sa.BigInteger(), comment="NULL: the default. -1: no limit."),
)

pools = sa.Table(
    "pools",
    metadata,
    sa.Column("id", Name, primary_key=True, comment="host@backend#pool, or cluster@backend#pool."),
    sa.Column("queue", Name, nullable=False, comment="Whose workers serve it."),
    sa.Column("backend", Name, nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("total_gib", sa.Double(), nullable=False),
    sa.Column("free_gib", sa.Double(), nullable=False),
    sa.Column("allocated_gib", sa.Double(), nullable=False),
    sa.Column(
        "provisioned_gib",
        sa.BigInteger(),
        nullable=False,
        default=0,
        server_default="0",
        comment="Sum of the sizes of its volumes, kept in their transactions.",
    ),
    sa.Column("thin", sa.Boolean(), nullable=False),
    sa.Column("reserved_percentage", sa.Integer(), nullable=False),
    sa.Column("max_over_subscription_ratio", sa.Double(), nullable=False),
    sa.Column("capabilities", Json, nullable=False),
    sa.Column("reported_at", Moment, nullable=False),
)

exports = sa.Table(
    "exports",
    metadata,
    sa.Column("volume_id", Id, primary_key=True),
    sa.Column("host", Name, nullable=False, comment="The host whose daemon holds the image open (R6)."),
    sa.Column("boot_id", sa.String(40), nullable=False),
    sa.Column("generation", sa.BigInteger(), nullable=False),
    sa.Column("queue", Name, nullable=False),
    sa.Column("parameters", Json, nullable=False, comment="What a rebuild needs: protocols, addresses. No secret."),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "host"),
)

messages = sa.Table(
    "messages",
    metadata,
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

"""Every option of the service, once: its name, type, default, limits and help stand on a field of a frozen dataclass.

:mod:`breezeblock.config.load` reads files into :class:`Settings`; whoever needs a setting gets the
object passed down. Nothing here is global, and nothing here reads a file or the environment.
A dataclass made without arguments has the defaults, which is what tests want.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg

from breezeblock.errors import BadConfiguration


def option(kind: type[cfg.Opt], help: str, default: Any = None, **limits: Any) -> Any:
    """A dataclass field that is also an oslo.config option of the same name; ``limits`` go to oslo.config."""
    declared = {"kind": kind, "arguments": {"help": help, "default": default, **limits}}
    value = tuple(default) if isinstance(default, list) else default
    return dataclasses.field(default=value, metadata=declared, repr=not limits.get("secret", False))


def options_of(section: type[Any], prefix: str = "") -> list[cfg.Opt]:
    """The oslo.config options that the fields of ``section`` declare, each name with ``prefix``."""
    return [
        field.metadata["kind"](prefix + field.name, **field.metadata["arguments"])
        for field in dataclasses.fields(section)
        if "kind" in field.metadata
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """[database]"""

    connection: str = option(
        cfg.StrOpt,
        "SQLAlchemy URL of the database: sqlite:///PATH, postgresql+psycopg://USER:PASSWORD@HOST/NAME "
        "or mysql+pymysql://USER:PASSWORD@HOST/NAME. A dollar sign in a password is written as $$.",
        "sqlite:///$state_path/breezeblock.sqlite",
        secret=True,
    )
    notify_connection: str = option(
        cfg.StrOpt,
        "URL of the PostgreSQL server itself, for wake-up hints between hosts, where connection leads through a pooler. Empty: connection.",
        "",
        secret=True,
    )
    pool_size: int = option(cfg.IntOpt, "Connections that one process keeps open.", 5, min=1)
    max_overflow: int = option(cfg.IntOpt, "Connections that one process may open beyond pool_size for a moment.", 20, min=0)
    pool_timeout: float = option(cfg.FloatOpt, "Seconds that a transaction waits for a free connection of its process.", 10.0, min=0.1)
    connect_timeout: int = option(cfg.IntOpt, "Seconds that connecting to the database server may take.", 5, min=1)
    lock_timeout: float = option(cfg.FloatOpt, "Seconds that a statement waits for a row that another transaction holds.", 5.0, min=0.1)
    statement_timeout: float = option(cfg.FloatOpt, "Seconds that one statement may run.", 30.0, min=0.1)
    idle_timeout: float = option(cfg.FloatOpt, "Seconds that a transaction may stand idle before the server ends it.", 30.0, min=0.1)


@dataclasses.dataclass(frozen=True, slots=True)
class LeaseSettings:
    """[lease]: how long a worker may be silent before its jobs are given to others (protocol rule R4)."""

    lease_seconds: float = option(
        cfg.FloatOpt, "Seconds that a worker may hold jobs without a renewed beat; it is killed when they are over.", 10.0, min=0.5
    )
    heartbeat: float = option(cfg.FloatOpt, "Seconds between two beats of a worker.", 2.0, min=0.05)
    margin: float = option(cfg.FloatOpt, "Seconds that a rescuer waits beyond the lease before it fences a silent worker.", 1.0, min=0.05)
    poll: float = option(
        cfg.FloatOpt, "Seconds between two looks at the queue when no wake-up arrives. At most a tenth of lease_seconds.", 1.0, min=0.01
    )
    statement_timeout: float = option(cfg.FloatOpt, "Seconds that the statement which renews a beat may take.", 2.0, min=0.05)

    def faults(self) -> list[str]:
        """What protocol rule R4 forbids in these values, in words that name them; empty when they are sound."""
        found = []
        busy, allowed = 3 * self.heartbeat + self.statement_timeout, self.lease_seconds - self.margin
        if not busy < allowed:
            found.append(
                f"3*heartbeat + statement_timeout must be less than lease_seconds - margin, "
                f"but 3*{self.heartbeat:g} + {self.statement_timeout:g} = {busy:g} is not less than "
                f"{self.lease_seconds:g} - {self.margin:g} = {allowed:g} (seconds); a worker must be able to miss two beats and live"
            )
        if self.poll > self.lease_seconds / 10:
            found.append(f"poll must be at most lease_seconds/10 = {self.lease_seconds / 10:g} s, but is {self.poll:g} s")
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class ApiSettings:
    """[api]"""

    bind: str = option(cfg.StrOpt, "HOST:PORT that the API listens on; an IPv6 address stands in brackets.", "127.0.0.1:8776")
    workers: int = option(cfg.IntOpt, "Processes that answer requests.", 2, min=1, max=256)
    threads: int = option(cfg.IntOpt, "Requests that one API process works on at once.", 8, min=1, max=1024)
    backlog: int = option(cfg.IntOpt, "Connections that may wait to be accepted.", 1024, min=128)
    public_endpoint: str = option(
        cfg.StrOpt, "URL that links in answers start with, for an API behind a proxy. Empty: what the request says.", ""
    )
    max_limit: int = option(cfg.IntOpt, "Items that one page of a list may hold; also the default page.", 1000, min=1)
    max_body: int = option(cfg.IntOpt, "Bytes that a request body may have.", 114688, min=1024)
    max_waiting: int = option(
        cfg.IntOpt, "Requests of one API process that may wait for a worker's answer at once; others get 503.", 64, min=1
    )
    sync_timeout: float = option(
        cfg.FloatOpt,
        "Seconds that a request which needs a worker's answer (connection information, for example) waits for it.",
        20.0,
        min=0.1,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSettings:
    """[worker]"""

    slots_normal: int = option(cfg.IntOpt, "Ordinary jobs that one worker process runs at once.", 8, min=1)
    slots_sync: int = option(
        cfg.IntOpt, "Jobs somebody waits for (attachments) that one worker process runs at once, in slots of their own.", 4, min=1
    )
    slots_long: int = option(
        cfg.IntOpt, "Long jobs (copies, backups) that one worker process runs at once, in slots of their own.", 2, min=1
    )
    orphan_timeout: float = option(
        cfg.FloatOpt,
        "Seconds that a job waits for any live worker which can run it before it ends in an error, with a message.",
        300.0,
        min=1,
    )
    max_attempts: int = option(cfg.IntOpt, "Processes that one job may crash before it is given up.", 3, min=1)
    report_interval: float = option(cfg.FloatOpt, "Seconds between two reports of a backend's capacity.", 10.0, min=0.1)
    purge_after: float = option(cfg.FloatOpt, "Seconds that finished jobs and events are kept.", 7 * 86400.0, min=60)


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaDefaults:
    """[quota]: the limits of a project that has none of its own; -1 is no limit."""

    volumes: int = option(cfg.IntOpt, "Volumes of one project. -1: no limit.", 10, min=-1)
    snapshots: int = option(cfg.IntOpt, "Snapshots of one project. -1: no limit.", 10, min=-1)
    gigabytes: int = option(cfg.IntOpt, "GiB of all volumes and snapshots of one project. -1: no limit.", 1000, min=-1)
    groups: int = option(cfg.IntOpt, "Volume groups of one project. -1: no limit.", 10, min=-1)
    backups: int = option(cfg.IntOpt, "Backups of one project. -1: no limit.", 10, min=-1)
    backup_gigabytes: int = option(cfg.IntOpt, "GiB of all backups of one project. -1: no limit.", 1000, min=-1)
    per_volume_gigabytes: int = option(cfg.IntOpt, "GiB of one volume. -1: no limit.", -1, min=-1)
    no_snapshot_gb_quota: bool = option(cfg.BoolOpt, "Whether the size of a new snapshot is left out of its project's gigabytes.", False)


@dataclasses.dataclass(frozen=True, slots=True)
class CoordinationSettings:
    """[coordination], which a backend's section may override with options that start with ``coordination_``."""

    backend_url: str = option(
        cfg.StrOpt,
        "Tooz URL of the service that keeps named locks: file://PATH (one machine), etcd3+http://HOST:PORT, redis://HOST:PORT, zookeeper://HOST:PORT.",
        "file://$state_path/locks",
        secret=True,
    )
    heartbeat: float = option(cfg.FloatOpt, "Seconds between two heartbeats to the lock service, where it needs them.", 1.0, min=0.01)
    initial_reconnect_backoff: float = option(
        cfg.FloatOpt, "Seconds to wait after the first failed connection to the lock service.", 0.1, min=0.001
    )
    max_reconnect_backoff: float = option(
        cfg.FloatOpt, "Seconds that the wait between two connections to the lock service grows to.", 60.0, min=0.001
    )


@dataclasses.dataclass(frozen=True, slots=True)
class BackendOptions:
    """Options of every backend's section, whatever its driver."""

    volume_driver: str = option(cfg.StrOpt, "Name of the driver of this backend.", "file")
    volume_backend_name: str = option(cfg.StrOpt, "Name that volume types ask for by the extra spec volume_backend_name.", "$backend")
    reserved_percentage: int = option(cfg.IntOpt, "Per cent of a pool's capacity that no volume may use.", 0, min=0, max=100)
    max_over_subscription_ratio: float = option(
        cfg.FloatOpt, "How many times its capacity a thin pool may promise; 1.0 promises what it has.", 20.0, min=1.0
    )
    nbd_address: str = option(
        cfg.StrOpt,
        "IP address of this host that NBD exports listen on. Empty: UNIX sockets in the state directory, for clients of this host.",
        "",
    )
    nbd_first_port: int = option(cfg.PortOpt, "First TCP port of NBD exports.", 10809)
    nbd_last_port: int = option(cfg.PortOpt, "Last TCP port of NBD exports; each exported volume needs one.", 11832)


@dataclasses.dataclass(frozen=True, slots=True)
class BackendSettings:
    """One enabled backend: its section with everything that it inherits."""

    name: str
    """The section's name, as in enabled_backends."""
    host: str
    common: BackendOptions
    coordination: CoordinationSettings
    driver_options: Mapping[str, Any]
    """The options that the driver declares, by name."""

    @property
    def driver(self) -> str:
        """The driver's name in the registry."""
        return self.common.volume_driver

    @property
    def service_host(self) -> str:
        """``host@backend``, as services and pools name it."""
        return f"{self.host}@{self.name}"

    @property
    def queue(self) -> str:
        """The queue whose jobs this backend's workers take."""
        return f"volume:{self.service_host}"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """[DEFAULT], and every section below it. ``load`` makes it; :func:`dataclasses.replace` makes a variant."""

    state_path: Path = option(  # noqa: RUF009 -- it makes a field
        cfg.StrOpt, "Directory that holds everything that the service writes.", Path("/var/lib/breezeblock")
    )
    host: str = option(
        cfg.StrOpt,
        "Name of this node in services, pools and queues. "
        "The default is the host name at the first start, which is remembered in the state directory.",
        "",
    )
    enabled_backends: tuple[str, ...] = option(cfg.ListOpt, "Sections of the backends that this node serves.", ["local"])
    auth_strategy: str = option(
        cfg.StrOpt, "How requests are authenticated. none: the token is USER:PROJECT and is believed.", "none", choices=["none"]
    )
    policy_file: str = option(cfg.StrOpt, "oslo.policy file with rules that replace the default ones. Empty: none.", "")
    default_volume_type: str = option(cfg.StrOpt, "Name of the volume type of volumes that ask for none.", "__DEFAULT__")
    storage_availability_zone: str = option(cfg.StrOpt, "Availability zone of this node's volumes.", "nova")
    debug: bool = option(cfg.BoolOpt, "Log at level DEBUG.", False)
    log_format: str = option(
        cfg.StrOpt, "text: one line per event for people. json: one JSON object per event.", "text", choices=["text", "json"]
    )
    database: DatabaseSettings = DatabaseSettings()
    lease: LeaseSettings = LeaseSettings()
    api: ApiSettings = ApiSettings()
    worker: WorkerSettings = WorkerSettings()
    quota: QuotaDefaults = QuotaDefaults()
    coordination: CoordinationSettings = CoordinationSettings()
    backends: tuple[BackendSettings, ...] = ()
    warnings: tuple[str, ...] = ()
    """What the files hold that nobody reads, one sentence each; the caller logs them."""

    def backend(self, name: str) -> BackendSettings:
        """The enabled backend ``name``; KeyError when there is none."""
        return {backend.name: backend for backend in self.backends}[name]


def address_of(bind: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` as host and port; BadConfiguration says what is wrong. Port 0 lets the kernel choose."""
    host, colon, port = bind.rpartition(":")
    if not colon or not host or (":" in host) != (host.startswith("[") and host.endswith("]")):
        raise BadConfiguration(reason=f"bind = {bind!r}: allowed is HOST:PORT, or [ADDRESS]:PORT for an IPv6 address")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise BadConfiguration(reason=f"bind = {bind!r}: the port must be a number from 0 to 65535")
    return host.strip("[]"), int(port)


SECTIONS: Mapping[str, type[Any]] = {
    "database": DatabaseSettings,
    "lease": LeaseSettings,
    "api": ApiSettings,
    "worker": WorkerSettings,
    "quota": QuotaDefaults,
    "coordination": CoordinationSettings,
}
"""The sections beside [DEFAULT]; each is a field of :class:`Settings` of the same name."""

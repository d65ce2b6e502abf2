"""Real PostgreSQL and MariaDB servers in private directories on free ports, for one test run.

A run's servers live below one directory, named in the environment so that every process of the run finds
it. The first process that needs a server starts it, under a file lock; the run's first process ends
them all. A keeper process per server ends it too when the run is killed. A test that kills,
stops or misconfigures a server starts one of its own with :func:`own_server`.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pymysql

_RUN = "BREEZEBLOCK_TEST_RUN"
_POSTGRESQL = Path("/usr/lib/postgresql/15/bin")
_START_SECONDS = 30.0
_POSTGRESQL_OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB", "autovacuum_naptime=5min")
_MARIADB_OPTIONS = (
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=64M",
    "--performance-schema=OFF",
    "--max-connections=300",
    "--skip-name-resolve",
)


@dataclass
class Server:
    """One server: ``kind`` is "postgresql" or "mysql"; its superuser is "breezeblock" without a password."""

    kind: str
    directory: Path
    port: int
    options: Sequence[str] = ()
    keeper: int = 0
    pid: int = 0
    _keepers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"{self.kind}://breezeblock@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        run_pid, run = _run()
        arguments = [str(run_pid), str(run), str(int(_STOP[self.kind])), _user(self.kind), *_COMMAND[self.kind](self)]
        with (self.directory / "log").open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("keeper.py")), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert keeper.stdout is not None
        with keeper.stdout as out:
            self.keeper, self.pid = keeper.pid, int(out.readline())
        self._keepers.append(keeper)
        self.wait()

    def wait(self) -> None:
        """Wait until it answers. Raises RuntimeError with the end of its log when it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.kind, self.port):
            if time.monotonic() > deadline or not Path(f"/proc/{self.pid}").exists():
                raise RuntimeError(f"{self.kind} did not start:\n{(self.directory / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the server a signal. After one that ends it, waits for its end."""
        os.kill(self.pid, number)
        if number in (signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
            _await_end(self.keeper)
            self._reap()

    def stop(self) -> None:
        """End the server and its keeper."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper, signal.SIGTERM)
        _await_end(self.keeper)
        self._reap()

    def _reap(self) -> None:
        for keeper in self._keepers:
            keeper.wait(20)
        self._keepers.clear()


def begin_run() -> bool:
    """Make this process the owner of a run unless it belongs to one; whether it owns it. Followed by :func:`end_run`."""
    if _RUN in os.environ:
        return False
    directory = tempfile.mkdtemp(prefix="breezeblock-test-")
    Path(directory).chmod(0o755)
    os.environ[_RUN] = f"{os.getpid()}:{directory}"
    return True


def end_run() -> None:
    """Stop every server of the run and remove its files."""
    _, directory = _run()
    del os.environ[_RUN]
    for record in directory.glob("*/server"):
        _, keeper, _ = record.read_text().split()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(keeper), signal.SIGTERM)
            _await_end(int(keeper))
    shutil.rmtree(directory, ignore_errors=True)


def shared_server(kind: str) -> Server:
    """The run's server of this kind, started if it is not yet."""
    _, run = _run()
    directory = run / kind
    record = directory / "server"
    with locked(run / f"{kind}.lock"):
        if record.exists():
            port, keeper, pid = map(int, record.read_text().split())
            return Server(kind, directory, port, keeper=keeper, pid=pid)
        server = _new(kind, directory, ())
        record.write_text(f"{server.port} {server.keeper} {server.pid}")
        return server


@contextlib.contextmanager
def own_server(kind: str, *options: str) -> Iterator[Server]:
    """A server for one test alone, with further command line options (PostgreSQL: ``name=value``)."""
    _, run = _run()
    directory = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=run))
    server = _new(kind, directory / "server-files", options)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude the other processes of the run."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _new(kind: str, directory: Path, options: Sequence[str]) -> Server:
    directory.mkdir(parents=True)
    if _user(kind):
        shutil.chown(directory, _user(kind))
        directory.parent.chmod(0o755)
    with (directory / "install.log").open("wb") as log:
        subprocess.run(_INSTALL[kind](directory), check=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=_user(kind) or None)
    server = Server(kind, directory, free_port(), options)
    server.start()
    return server


def _run() -> tuple[int, Path]:
    pid, directory = os.environ[_RUN].split(":", 1)
    return int(pid), Path(directory)


def _user(kind: str) -> str:
    """The servers refuse to run as root, and cannot change user otherwise."""
    return {"postgresql": "postgres", "mysql": "mysql"}[kind] if os.geteuid() == 0 else ""


def _install_postgresql(directory: Path) -> list[str]:
    initdb = [str(_POSTGRESQL / "initdb"), "-D", str(directory / "data"), "-U", "breezeblock"]
    return [*initdb, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]


def _install_mariadb(directory: Path) -> list[str]:
    init = "CREATE USER IF NOT EXISTS breezeblock@'127.0.0.1';\nGRANT ALL ON *.* TO breezeblock@'127.0.0.1' WITH GRANT OPTION;\n"
    (directory / "init.sql").write_text(init)
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={directory / 'data'}", "--skip-test-db"]
    return [*install, "--auth-root-authentication-method=normal", "--innodb-flush-method=nosync"]


def _postgresql_command(server: Server) -> list[str]:
    options = [*_POSTGRESQL_OPTIONS, "listen_addresses=127.0.0.1", f"unix_socket_directories={server.directory}", *server.options]
    flags = [part for option in options for part in ("-c", option)]
    return [str(_POSTGRESQL / "postgres"), "-D", str(server.directory / "data"), "-p", str(server.port), *flags]


def _mariadb_command(server: Server) -> list[str]:
    files = [f"--datadir={server.directory / 'data'}", f"--socket={server.directory / 's'}", f"--pid-file={server.directory / 'pid'}"]
    network = [f"--port={server.port}", "--bind-address=127.0.0.1", f"--init-file={server.directory / 'init.sql'}"]
    return ["/usr/sbin/mariadbd", "--no-defaults", *files, *network, *_MARIADB_OPTIONS, *server.options]


_INSTALL = {"postgresql": _install_postgresql, "mysql": _install_mariadb}
_COMMAND = {"postgresql": _postgresql_command, "mysql": _mariadb_command}
_STOP = {"postgresql": signal.SIGQUIT, "mysql": signal.SIGKILL}
"""At once: nobody needs the data."""


def _answers(kind: str, port: int) -> bool:
    try:
        if kind == "postgresql":
            psycopg.connect(f"host=127.0.0.1 port={port} user=breezeblock dbname=postgres connect_timeout=2").close()
        else:
            pymysql.connect(host="127.0.0.1", port=port, user="breezeblock", connect_timeout=2).close()
    except (psycopg.OperationalError, pymysql.OperationalError):
        return False
    return True


def _await_end(pid: int) -> None:
    """Wait for the end of any process, a child or not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], 20)[0]:
            raise RuntimeError(f"process {pid} does not end")
    finally:
        os.close(descriptor)

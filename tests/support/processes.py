"""A deployment of separate processes for tests: one API, one scheduler worker, and as many volume workers as a test starts and kills.

Nothing restarts them but the test. Each dies with the test's process, and every wait is bounded.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.drivers.fake.sqlite import SqliteStore
from breezeblock.store.engine import Store
from breezeblock.store.tables.protocol import jobs, workers
from tests.support.deadly import Orders
from tests.support.servers import free_port
from tests.support.service import COMMAND, Service, await_

SHORT_LEASE = """
[lease]
lease_seconds = 3
heartbeat = 0.4
statement_timeout = 0.7
margin = 0.5
poll = 0.1
"""
VOLUME = "worker --role volume"
LEASE = """
[lease]
lease_seconds = 10
heartbeat = 1
poll = 0.1
"""
LONG_LEASE = """
[lease]
lease_seconds = 60
poll = 0.1
"""
ROOMY = """
[quota]
volumes = -1
snapshots = -1
gigabytes = -1
"""


def configuration(backend: str, *, database: str = "", worker: Mapping[str, object] | None = None, lease: str = LEASE) -> str:
    """A configuration with one backend, ``local``, and no quota. ``backend`` holds the lines of its section.

    A short lease is for tests that wait for its end: on a busy machine a worker may lose it for want of time.
    """
    options = "".join(f"{name} = {value}\n" for name, value in (worker or {}).items())
    connection = f"[database]\nconnection = {database}\n" if database else ""
    return f"[DEFAULT]\nenabled_backends = local\n{connection}{lease}{ROOMY}[worker]\n{options}[local]\n{backend}\n"


class Process:
    """One process of the product."""

    def __init__(self, name: str, words: list[str], log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env
            )
        self.pid = self._process.pid

    def alive(self) -> bool:
        """Whether it runs, or is stopped."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 20.0) -> int:
        """Its exit code, or minus the signal that ended it. Raises TimeoutExpired."""
        return self._process.wait(seconds)

    def destroy(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(10)


class Deployment(Service):
    """The processes on one state directory; each obeys :attr:`orders`."""

    def __init__(self, state: Path, config: str) -> None:
        super().__init__(state, config)
        self.orders = Orders(state.with_name(f"{state.name}.orders"))
        self.processes: list[Process] = []
        self._file = state.with_name(f"{state.name}.conf")
        self._file.write_text(config)

    def begin(self, volume_workers: int, wrap: Sequence[str] = ()) -> None:
        """Migrate the database and start everything, the volume workers with ``wrap``; returns when all answer."""
        subprocess.run([*COMMAND, "db", "migrate", *self._state], check=True, timeout=60, env=self.env, capture_output=True)
        bind = f"127.0.0.1:{free_port()}"
        self.url = f"http://{bind}/v3"
        self.api = self.run("api", "--bind", bind)
        self.scheduler = self.run("worker", "--role", "scheduler")
        for _ in range(volume_workers):
            self.volume(wrap)
        with self.database() as store:
            await_(lambda: len(self.live(store)) == volume_workers + 1 and self.health() == 200, 30, self.tail)

    @property
    def _state(self) -> list[str]:
        return ["--state-dir", str(self.state), "--config", str(self._file)]

    def deadly(self, command: str) -> list[str]:
        """The words of a command that obeys the orders."""
        return [sys.executable, "-m", "tests.support.deadly", str(self.orders.folder), command]

    def run(self, command: str, *words: str, wrap: Sequence[str] = ()) -> Process:
        """Start one process; does not wait for it. ``wrap`` is put before it."""
        line = [*wrap, *self.deadly(command), *self._state, *words]
        self.processes.append(Process(" ".join((command, *words)), line, self.log, self.env))
        return self.processes[-1]

    def volume(self, wrap: Sequence[str] = ()) -> Process:
        """Start one more volume worker."""
        return self.run(*VOLUME.split(), wrap=wrap)

    def serve(self) -> None:
        """Start ``breezeblock serve`` instead of single processes."""
        self.start(command=self.deadly("serve"))

    def volume_workers(self) -> list[Process]:
        """Those that were started and run."""
        return [process for process in self.processes if process.name == VOLUME and process.alive()]

    def volumes(self, count: int, store: Store) -> None:
        """Start so many volume workers, and wait until they are live."""
        before = len(self.live(store))
        for _ in range(count):
            self.volume()
        await_(lambda: len(self.live(store)) == before + count, 30, self.tail)

    @contextlib.contextmanager
    def database(self) -> Iterator[Store]:
        """The database, seen by the test."""
        named = [line.partition("=")[2].strip() for line in self.config.splitlines() if line.startswith("connection =")]
        store = Store(named[0] if named else f"sqlite:///{self.state}/breezeblock.sqlite", name="test")
        try:
            yield store
        finally:
            store.dispose()

    def live(self, store: Store) -> dict[int, str]:
        """The incarnations that are live by the database, lone ones left out: id by pid."""
        query = sa.select(workers.c.id, workers.c.process).where(workers.c.state == "live", workers.c.solo.is_(sa.false()))
        return {int(row.process.split(":")[2]): row.id for row in store.read("test.live", lambda tx: tx.execute(query).all())}

    def unfinished(self, store: Store) -> int:
        """How many jobs have not ended."""
        query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(("queued", "claimed")))
        return int(store.read("test.unfinished", lambda tx: tx.execute(query).scalar_one()))

    def settle(self, store: Store, seconds: float = 60.0) -> None:
        """Wait until every job has ended."""
        await_(lambda: self.unfinished(store) == 0, seconds, lambda: f"{self.unfinished(store)} jobs have not ended\n{self.tail()}", 0.1)

    def create(self, **fields: Any) -> str:
        """Ask for a volume, of 1 GiB unless told; its id."""
        return self.want("POST", "/volumes", "volume", **({"size": 1} | fields))

    def want(self, method: str, path: str, key: str, **fields: Any) -> str:
        """Ask for a resource that is made meanwhile; its id."""
        status, body = self.ask(method, path, {key: fields})
        assert status == 202, f"{status} {body}"
        return str(body[key]["id"])

    def extend(self, volume_id: str, size: int) -> None:
        """Ask for growth."""
        status, body = self.ask("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": size}})
        assert status == 202, f"{status} {body}"

    def delete(self, path: str) -> None:
        """Ask for a deletion."""
        status, body = self.ask("DELETE", path)
        assert status == 202, f"{status} {body}"

    def status(self, path: str) -> str:
        """The status of a volume (/volumes/ID) or snapshot."""
        status, body = self.ask("GET", path)
        return str(next(iter(body.values()))["status"]) if status == 200 else str(status)

    def destroy(self) -> None:
        """Kill everything; no process of it is left."""
        for process in self.processes:
            process.destroy()
        super().destroy()


@contextlib.contextmanager
def deployed(deployment: Deployment) -> Iterator[Deployment]:
    """A deployment whose processes are surely gone afterwards."""
    try:
        yield deployment
    finally:
        deployment.destroy()


@contextlib.contextmanager
def fake_backend(path: Path) -> Iterator[SqliteStore]:
    """The memory of a fake backend that the workers share, for laying trouble."""
    store = SqliteStore(path)
    try:
        yield store
    finally:
        store.close()


def resume(pid: int) -> None:
    """Let a stopped process go on, if there still is one."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)

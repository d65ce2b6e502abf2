"""A whole deployment in one process and one thread: a real database, the shipped code, the fake storage.

Requests and workers are stepped by the test. A worker dies when a fault hook raises :class:`Crash` inside it; from then
on its process counts as proven dead, so a rescuer takes its work over at once, as on a real host.
"""

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from breezeblock.config import BackendOptions, BackendSettings, CoordinationSettings, QuotaDefaults, Settings
from breezeblock.core import faults, leases
from breezeblock.core.bodies import Body, Checker
from breezeblock.core.clock import SystemClock
from breezeblock.core.leases import Incarnation, ProcessName
from breezeblock.core.requests import Answer, Caller, JobResult, Request, Wait
from breezeblock.core.rescue import Rescuer, Rules
from breezeblock.core.transitions import attempt
from breezeblock.core.versions import RequestVersion
from breezeblock.core.work import Backend
from breezeblock.drivers.fake import FakeDriver
from breezeblock.drivers.interface import DriverContext
from breezeblock.resources import catalogue
from breezeblock.resources.services import rules as services
from breezeblock.scheduler import capacity
from breezeblock.store.dialect import Limits
from breezeblock.store.engine import Store, Tx
from breezeblock.store.schema import migrate
from breezeblock.store.tables.protocol import jobs
from breezeblock.worker import backends as backend_parts
from breezeblock.worker.collect import collect
from breezeblock.worker.loop import Surroundings, Worker
from tests.support.live_images import NothingLive
from tests.support.memory_exports import MemoryExports

SLOTS: Mapping[str, int] = {"sync": 4, "normal": 8, "long": 2}
ADMIN = Caller("admin", "p", frozenset({"admin", "member", "reader"}), is_admin=True)
MEMBER = Caller("user", "p", frozenset({"member", "reader"}), is_admin=False)


class Crash(BaseException):
    """The process ends here, with no chance to clean up."""


class AllowAll:
    """Rights are tested elsewhere."""

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any]) -> bool:
        return True


def backend_settings(name: str, options: Mapping[str, Any]) -> BackendSettings:
    common = BackendOptions(volume_driver="fake", volume_backend_name=name, reserved_percentage=0, max_over_subscription_ratio=20.0)
    return BackendSettings(name, "here", common, CoordinationSettings(), options)


class World:
    """One deployment with one fake backend, ``here@fake``."""

    def __init__(self, url: str, path: Path, *, migrated: bool = False, limits: Limits | None = None, **changes: Any) -> None:
        """``migrated``: the database has its schema already, as the fixtures' have. ``limits``: how long the database is waited for."""
        if not migrated:
            migrate(url)
        options = {"fake_path": None, "fake_capacity_gib": 10_000, "fake_latency_seconds": 0.0, "fake_errors": None}
        self.backend_settings = backend_settings("fake", options)
        roomy = QuotaDefaults(volumes=-1, snapshots=-1, gigabytes=-1)
        self.settings = dataclasses.replace(
            Settings(), state_path=path, host="here", backends=(self.backend_settings,), quota=roomy, **changes
        )
        self.store = Store(url, name="world", reach=faults.reach, limits=limits)
        self.clock = SystemClock()
        self.registry = catalogue.registry()
        self.driver = FakeDriver(DriverContext("fake", options, NothingLive()))
        self.driver.setup()
        self.exports = MemoryExports(self.driver)
        self.backend = Backend("fake", self.backend_settings.queue, self.driver, self.exports)
        self.around = Surroundings(self.store, self.registry, self.clock, self.settings, {self.backend.queue: self.backend})
        self.dead: set[str] = set()
        self.rescuer = Rescuer(
            self.store,
            self.registry,
            Rules(
                self.settings.lease,
                self.settings.worker.orphan_timeout,
                self.settings.worker.max_attempts,
                lambda _: None,
                lambda _: None,
            ),
            self.clock.boottime,
            self.clock.utcnow,
            proven_dead=lambda name: str(name) in self.dead,
        )
        self._pids = 0
        self.report()
        self.scheduler = self.worker(("scheduler",))
        self.volume = self.worker((self.backend.queue,))
        self._checkers: dict[str, Checker] = {}

    # Requests

    def ask(
        self, verb: ModuleType, body: Any = None, *, caller: Caller = ADMIN, version: RequestVersion | None = None,
        params: Mapping[str, Any] | None = None, ids: Mapping[str, str] | None = None, wait: bool = True, **path: str,
    ) -> Any:  # fmt: skip
        """Perform a request of ``verb``: its answer's body, after the job of a synchronous one was run (unless ``wait`` is false)."""
        work = self.request(verb, body, caller=caller, version=version, params=params, ids=ids, **path)
        answer, req = attempt(self.store, f"{verb.__name__.split('resources.')[1]}.request", work)
        if isinstance(answer, Wait):
            return self._waited(answer, req) if wait else None
        return answer.body

    def request(
        self, verb: ModuleType, body: Any = None, *, caller: Caller = ADMIN, version: RequestVersion | None = None,
        params: Mapping[str, Any] | None = None, ids: Mapping[str, str] | None = None, **path: str,
    ) -> Callable[[Tx], tuple[Answer | Wait, Request]]:  # fmt: skip
        """What the request does in its transaction; every run of it has the same new ids."""
        made = dict(ids or {})
        version = version or RequestVersion.latest()
        inner = self._checked(verb, body, version)

        def work(tx: Tx) -> tuple[Answer | Wait, Request]:
            req = Request(
                caller=caller, version=version, request_id=f"req-{uuid.uuid4()}", tx=tx, clock=self.clock, settings=self.settings,
                policy=AllowAll(), registry=self.registry, url="http://here/v3/p", body=inner, params=params or {}, _ids=made,
            )  # fmt: skip
            return verb.request(req, **path), req

        return work

    def _checked(self, verb: ModuleType, body: Any, version: RequestVersion) -> Any:
        declared = getattr(verb, "BODY", None)
        if declared is None or body is None:
            return body
        checker = self._checkers.setdefault(verb.__name__, Checker(declared))
        return checker.check({declared.key: body} if isinstance(declared, Body) and declared.key else body, version)[0]

    def _waited(self, wait: Wait, req: Request) -> Any:
        self.settle()

        def read(tx: Tx) -> Any:
            row = tx.execute(sa.select(jobs.c.state, jobs.c.result, jobs.c.error).where(jobs.c.id == wait.job_id)).one()
            req.tx = tx
            return wait.reply(req, JobResult(row.state, row.result or {}, row.error or {})).body

        return self.store.read("reply", read)

    # Workers

    def worker(self, queues: tuple[str, ...], *, solo: bool = False) -> Worker:
        """A new live incarnation."""
        self._pids += 1
        process = ProcessName("this-boot", 1, 100_000_000 + self._pids, 1)
        incarnation = Incarnation(str(uuid.uuid4()), "here", str(process), queues, self.registry.kinds(), solo)

        def register(tx: Tx) -> None:
            now = self.clock.utcnow()
            leases.register(tx, incarnation, now)
            binary = services.SCHEDULER if queues == ("scheduler",) else services.VOLUME
            host = "here" if queues == ("scheduler",) else "here@fake"
            services.register(
                tx, binary=binary, host=host, queue=queues[0], availability_zone="nova", worker_id=incarnation.id,
                service_uuid=str(uuid.uuid4()), now=now,
            )  # fmt: skip

        self.store.run("world.register", register)
        return Worker(self.around, incarnation)

    def report(self) -> None:
        """The backend's capacity report."""
        found = backend_parts.reports(self.backend_settings, self.backend)
        self.store.run("world.report", lambda tx: capacity.report(tx, self.backend.queue, found, self.clock.utcnow()))

    def step(self, worker: Worker) -> int:
        """One round of a worker: claim and perform; suspects run alone, in an incarnation of their own. The number of jobs."""
        claimed = worker.claim(SLOTS)
        for job in claimed:
            worker.perform(job)
        suspects = [job_id for job_class, slots in SLOTS.items() for job_id in worker.suspects(job_class, (), slots)]
        for job_id in suspects:
            self._run_alone(self.worker(worker.incarnation.queues, solo=True), job_id)
        return len(claimed) + len(suspects)

    def _run_alone(self, alone: Worker, job_id: str) -> None:
        try:
            taken = alone.claim_suspect(job_id)
            if taken is not None:
                alone.perform(taken)
            self._leave(alone)
        except Crash:
            self.dead.add(alone.incarnation.process)
            raise

    def _leave(self, worker: Worker) -> None:
        now = self.clock.utcnow()
        self.store.run("world.leave", lambda tx: leases.leave(tx, worker.incarnation.id, now))

    def settle(self) -> int:
        """Step all workers until nothing can be claimed; the number of jobs."""
        performed = 0
        while now := self.step(self.scheduler) + self.step(self.volume):
            performed += now
        return performed

    def die(self, worker: Worker) -> Worker:
        """Worker's process is dead; returns the one that a supervisor starts in its place."""
        self.dead.add(worker.incarnation.process)
        return self.worker(worker.incarnation.queues)

    def heal(self) -> None:
        """Every worker that a crash hit is replaced, rescue runs, and all work is done."""
        self.dead |= {self.scheduler.incarnation.process, self.volume.incarnation.process}
        self.scheduler, self.volume = self.worker(("scheduler",)), self.worker((self.backend.queue,))
        self.rescuer.pass_once()
        while self.settle():
            self.rescuer.pass_once()
        collect(self.store, self.registry, self.backend)

    # What is there

    def row(self, table: sa.Table, row_id: str) -> Mapping[str, Any] | None:
        return self.store.read("world.row", lambda tx: tx.row(sa.select(table).where(table.c.id == row_id)))

    def all(self, table: sa.Table) -> list[Mapping[str, Any]]:
        return list(self.store.read("world.rows", lambda tx: tx.rows(sa.select(table))))


def recording(into: list[str]) -> Callable[[str], None]:
    """A fault hook that writes down the points reached."""
    return into.append


def crash_at(index: int) -> Callable[[str], None]:
    """A fault hook that ends the process at the point reached as number ``index``, once."""
    reached = 0

    def hook(name: str) -> None:
        nonlocal reached
        reached += 1
        if reached == index + 1:
            raise Crash(name)

    return hook

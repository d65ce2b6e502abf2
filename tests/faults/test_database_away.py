"""PostgreSQL goes away for longer than a lease while jobs run, and comes back: every job ends once, and none is taken for poison."""

import signal
from pathlib import Path

import sqlalchemy as sa

from breezeblock.resources import catalogue
from breezeblock.store.tables.protocol import jobs
from tests.checkers.everything import Watch
from tests.support.databases import administer
from tests.support.processes import SHORT_LEASE, Deployment, configuration, deployed, fake_backend
from tests.support.servers import Server, own_server
from tests.support.service import await_

VOLUMES = 30


def outage(server: Server, deployment: Deployment) -> None:
    """Stop the server until every worker's lease is over."""
    workers = [deployment.scheduler, *deployment.volume_workers()]
    server.kill(signal.SIGINT)
    ended = [process.wait(20) for process in workers]
    assert set(ended) == {-signal.SIGKILL}, "the kernel timers end them"
    server.start()


def test_an_outage_longer_than_the_lease(tmp_path: Path) -> None:
    with own_server("postgresql", "fsync=on") as server:
        administer(server, "CREATE DATABASE bb")
        backend = f"volume_driver = fake\nfake_path = {tmp_path}/fake.sqlite\nfake_latency_seconds = 0.5"
        config = configuration(backend, database=server.url("bb"), worker={"slots_normal": 4}, lease=SHORT_LEASE)
        with deployed(Deployment(tmp_path / "state", config)) as deployment, deployment.database() as store:
            deployment.begin(volume_workers=1)
            made = [deployment.create() for _ in range(VOLUMES)]
            with fake_backend(tmp_path / "fake.sqlite") as fake:
                await_(lambda: len(fake.objects()) >= 4, 20, deployment.tail)
            assert deployment.unfinished(store) > 0
            outage(server, deployment)
            await_(lambda: deployment.health() is not None, 20, deployment.tail)
            deployment.run("worker", "--role", "scheduler")
            deployment.volume()
            deployment.settle(store, 60)
            assert {deployment.status(f"/volumes/{each}") for each in made} == {"available"}
            attempts = store.read("test.attempts", lambda tx: tx.execute(sa.select(jobs.c.attempts, jobs.c.state)).all())
            assert {tuple(row) for row in attempts} == {(0, "done")}
            Watch(store, catalogue.registry()).assert_sound(healed=True, after="the outage")

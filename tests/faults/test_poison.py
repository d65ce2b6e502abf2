"""A job that kills every process which runs it is given up after ``max_attempts``, and its neighbours do not suffer."""

from pathlib import Path

import sqlalchemy as sa

from breezeblock.resources import catalogue
from breezeblock.store.tables.protocol import jobs
from tests.checkers.everything import Watch
from tests.support.deadly import Order
from tests.support.processes import SHORT_LEASE, Deployment, configuration, deployed

ATTEMPTS = 2


def test_poison_is_given_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    config = configuration(
        f"volume_driver = fake\nfake_path = {tmp_path}/fake.sqlite", worker={"max_attempts": ATTEMPTS}, lease=SHORT_LEASE
    )
    with deployed(Deployment(tmp_path / "state", config)) as deployment:
        deployment.serve()
        with deployment.database() as store:
            poisoned = deployment.create()
            deployment.settle(store)
            order = deployment.orders.give(Order("volumes.extend.extend.before", who="any", stays=True))
            deployment.extend(poisoned, 2)
            others = [deployment.create() for _ in range(20)]
            deployment.settle(store, 60)
            assert deployment.status(f"/volumes/{poisoned}") == "error_extending"
            assert {deployment.status(f"/volumes/{each}") for each in others} == {"available"}
            (row,) = store.read("test.job", lambda tx: tx.rows(sa.select(jobs).where(jobs.c.kind == "volumes.extend")))
            assert row["attempts"] == ATTEMPTS
            assert f"{ATTEMPTS} processes died while they ran it" in row["error"]["message"]
            # The first death was that of the worker that had other work too: it proves nothing.
            assert len(deployment.orders.struck(order)) >= ATTEMPTS + 1
            deployment.orders.withdraw(order)
            Watch(store, catalogue.registry()).assert_sound(healed=True, after="poison")

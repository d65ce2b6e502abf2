"""The whole way of a request, many at once: HTTP, two schedulers, two volume workers, the fake backend. At the end counters equal sums."""

import dataclasses
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.api.routes import ROUTES
from breezeblock.drivers.fake.store import Action, Phase, Rule
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.tables.protocol import pools, quotas
from tests.checkers.quotas import differences
from tests.support.api import Client, application
from tests.support.working import working
from tests.support.world import World

CLIENTS, STEPS = 8, 65
FINAL = {"available", "error", "error_extending", "error_deleting"}


class Crowd:
    """Clients of two projects, and what they were answered."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.answers: Counter[tuple[str, int]] = Counter()
        self.ids: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def run(self, number: int) -> None:
        dice, project = random.Random(number), f"p{number % 2}"
        client = Client(self.app, f"admin:{project}")
        for _ in range(STEPS):
            self.step(client, project, dice)

    def step(self, client: Client, project: str, dice: random.Random) -> None:
        what = dice.choice(("create", "create", "create", "delete", "extend"))
        with self.lock:
            mine = [volume_id for owner, volume_id in self.ids if owner == project]
        if what == "create" or not mine:
            answer = client.post("/v3/volumes", {"volume": {"size": dice.choice((1, 2, 3, 50))}})
            if answer.status_code == 202:
                with self.lock:
                    self.ids.append((project, answer.json["volume"]["id"]))
        elif what == "delete":
            answer = client.send("DELETE", f"/v3/volumes/{dice.choice(mine)}")
        else:
            answer = client.post(f"/v3/volumes/{dice.choice(mine)}/action", {"os-extend": {"new_size": dice.choice((4, 5, 60))}})
        with self.lock:
            self.answers[what, answer.status_code] += 1


def test_five_hundred_requests_and_failures_at_once(database: str, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    world.settings = dataclasses.replace(world.settings, quota=dataclasses.replace(world.settings.quota, volumes=60, gigabytes=900))
    small = sa.update(pools).values(total_gib=1000, free_gib=1000, max_over_subscription_ratio=1.0, thin=False)
    world.store.run("small", lambda tx: tx.execute(small))
    for method in ("create", "extend", "delete"):
        for phase in Phase:
            world.driver.store.add_rule(Rule(method, Action.FAIL, "driver.failed", phase=phase, times=6))
    crowd = Crowd(application(world.store, ROUTES, settings=world.settings, registry=world.registry))

    with working(world), ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(crowd.run, range(CLIENTS), timeout=100))

    assert sum(crowd.answers.values()) == CLIENTS * STEPS >= 500
    statuses = {status for _, status in crowd.answers}
    assert statuses <= {202, 400, 404, 409, 413}, crowd.answers
    assert all(crowd.answers[what, 202] > 5 for what in ("create", "delete", "extend")), crowd.answers
    assert crowd.answers["create", 413] > 0, "some met their quota"
    left = world.all(volumes)
    assert {row["status"] for row in left} <= FINAL
    assert any(row["status"] == "error" for row in left), "some met a failure of the backend, or no room"
    assert differences(world.store) == {}

    client = {project: Client(crowd.app, f"admin:{project}") for project in ("p0", "p1")}
    with working(world):
        for row in left:
            assert client[row["project_id"]].send("DELETE", f"/v3/volumes/{row['id']}?force=true").status_code == 202
    for row in world.all(volumes):
        assert row["status"] == "error_deleting", "a rule of the backend was left for it"
    assert differences(world.store) == {}
    if not world.all(volumes):
        assert {row["in_use"] for row in world.all(quotas)} == {0}
    world.store.dispose()

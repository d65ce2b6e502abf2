"""Everything at once: eight clients make, copy, snapshot, extend, revert, reset and delete while the backend fails now and then.

Whatever each was answered, in the end nothing is transitional, and rows, lanes, counters, messages and backend agree.
"""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from breezeblock.drivers.fake import Action, Phase, Rule
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.tables.protocol import pools, quotas
from tests.support.story import Story
from tests.support.working import working

CLIENTS, STEPS = 8, 65
FINAL = {"available", "error", "error_extending", "error_deleting"}
TROUBLED = ("create", "create_from_snapshot", "clone", "delete", "extend", "snapshot", "delete_snapshot", "revert")
DICE = {
    "volume": 5, "copy": 2, "clone": 2, "snapshot": 5, "extend": 3, "revert": 3, "delete": 3, "cascade": 2, "unsnapshot": 2,
    "reset": 1, "force": 1,
}  # fmt: skip


class Crowd:
    """What all clients know of, and what they were answered."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.answers: Counter[tuple[str, int]] = Counter()
        self._ids: dict[str, list[str]] = {"volumes": [], "snapshots": []}
        self._taken_of: dict[str, str] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Something that everybody can begin with."""
        person = self.story.person("admin", "p")
        self._ids["volumes"] = [person.volume(size=2) for _ in range(40)]
        self.story.settle()
        self._taken_of = {person.snapshot(volume_id): volume_id for volume_id in self._ids["volumes"][:20]}
        self._ids["snapshots"] = list(self._taken_of)
        self.story.settle()

    def run(self, number: int) -> None:
        """One client. All are administrators, because they do everything."""
        dice, person = random.Random(number), self.story.person("admin", "p")
        for _ in range(STEPS):
            what = dice.choices(list(DICE), list(DICE.values()))[0]
            method, path, body = self._request(what, dice)
            answer = person.raw(method, path, body)
            with self._lock:
                self.answers[what, answer.status_code] += 1
                if answer.status_code == 202 and answer.content:
                    [(kind, shown)] = answer.json.items()
                    self._ids[f"{kind}s"].append(shown["id"])

    def _request(self, what: str, dice: random.Random) -> tuple[str, str, object]:
        volume, snapshot = self._known("volumes", dice), self._known("snapshots", dice)
        requests: dict[str, tuple[str, str, object]] = {
            "volume": ("POST", "/volumes", {"volume": {"size": dice.randint(1, 3)}}),
            "copy": ("POST", "/volumes", {"volume": {"snapshot_id": snapshot}}),
            "clone": ("POST", "/volumes", {"volume": {"source_volid": volume}}),
            "snapshot": ("POST", "/snapshots", {"snapshot": {"volume_id": volume}}),
            "extend": ("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": dice.randint(2, 8)}}),
            "revert": ("POST", f"/volumes/{self._taken_of.get(snapshot, volume)}/action", {"revert": {"snapshot_id": snapshot}}),
            "delete": ("DELETE", f"/volumes/{volume}", None),
            "cascade": ("DELETE", f"/volumes/{volume}?cascade=true", None),
            "unsnapshot": ("DELETE", f"/snapshots/{snapshot}", None),
            "reset": ("POST", f"/snapshots/{snapshot}/action", {"os-reset_status": {"status": "error"}}),
            "force": ("POST", f"/volumes/{volume}/action", {"os-force_delete": None}),
        }
        return requests[what]

    def _known(self, kind: str, dice: random.Random) -> str:
        """A recent one now and then, so that clients meet."""
        with self._lock:
            return dice.choice(self._ids[kind][-dice.choice((5, 1000, 1000)) :])


def test_five_hundred_mixed_requests_end_with_everything_in_agreement(story: Story) -> None:
    crowd = Crowd(story)
    crowd.prepare()
    for method in TROUBLED:
        for phase in Phase:
            story.driver.store.add_rule(Rule(method, Action.FAIL, "driver.failed", phase=phase, times=3))
    with working(story), ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(crowd.run, range(CLIENTS), timeout=100))

    assert sum(crowd.answers.values()) == CLIENTS * STEPS >= 500
    assert {status for _, status in crowd.answers} <= {202, 400, 404}, crowd.answers
    assert all(crowd.answers[what, 202] for what in DICE), crowd.answers
    left = [*story.all(volumes), *story.all(snapshots)]
    assert {row["status"] for row in left} <= FINAL
    story.check()

    person = story.person("admin", "p")
    with working(story):
        for row in story.all(volumes):
            person.delete(f"/volumes/{row['id']}?force=true&cascade=true")
    with working(story):
        for row in story.all(volumes):
            assert row["status"] == "error_deleting", "a rule of the backend was left for it"
            person.delete(f"/volumes/{row['id']}?force=true&cascade=true")
    story.check()
    if not story.all(volumes):
        assert {row["in_use"] for row in story.all(quotas)} == {0}
        assert {row["provisioned_gib"] for row in story.all(pools)} == {0}

"""Two requests of which only one may win, interleaved on two connections, in both orders.

One begins and reads, the other comes and commits, then the first goes on to write. On SQLite there is one writer, so
there is nothing to interleave.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from tests.support.story import Person, Story

pytestmark = pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
Ask = Callable[[Person, str, str], tuple[str, str, Any]]

REQUESTS: Mapping[str, Ask] = {
    "delete": lambda _, volume, __: ("DELETE", f"/volumes/{volume}", None),
    "cascade": lambda _, volume, __: ("DELETE", f"/volumes/{volume}?cascade=true", None),
    "snapshot": lambda _, volume, __: ("POST", "/snapshots", {"snapshot": {"volume_id": volume}}),
    "clone": lambda _, volume, __: ("POST", "/volumes", {"volume": {"source_volid": volume}}),
    "extend": lambda _, volume, __: ("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 3}}),
    "copy": lambda _, __, snapshot: ("POST", "/volumes", {"volume": {"snapshot_id": snapshot}}),
    "unsnapshot": lambda _, __, snapshot: ("DELETE", f"/snapshots/{snapshot}", None),
    "revert": lambda _, volume, snapshot: ("POST", f"/volumes/{volume}/action", {"revert": {"snapshot_id": snapshot}}),
}


@pytest.fixture
def volume_id(story: Story, user: Person) -> str:
    """A volume that is available."""
    made = user.volume()
    story.settle()
    return made


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("delete", "snapshot"),
        ("snapshot", "delete"),
        ("delete", "clone"),
        ("clone", "delete"),
        ("delete", "extend"),
        ("extend", "delete"),
        ("extend", "extend"),
        ("delete", "delete"),
        ("snapshot", "extend"),
    ],
)
def test_of_two_that_exclude_each_other_only_the_quicker_wins(story: Story, user: Person, volume_id: str, first: str, second: str) -> None:
    lost, answers = interleave(story, user, first, second, volume_id, "")
    assert answers == {"first": 400, "second": 202}, lost
    story.check()


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("delete", "snapshot", "it has snapshots (1)"),
        ("snapshot", "extend", "its size has changed to 3 GiB"),
        ("extend", "extend", "its size has changed to 3 GiB"),
        ("cascade", "snapshot", "it has snapshots (1)"),
        ("snapshot", "delete", "could not be found"),
        ("clone", "delete", "could not be found"),
    ],
)
def test_the_slower_loses_too_when_the_other_s_work_is_done(
    story: Story, user: Person, volume_id: str, first: str, second: str, why: str
) -> None:
    lost, answers = interleave(story, user, first, second, volume_id, "", done=True)
    assert answers == {"first": 404 if "found" in why else 400, "second": 202}
    assert why in lost
    story.check()


@pytest.mark.parametrize(
    ("first", "second"),
    [("unsnapshot", "copy"), ("copy", "unsnapshot"), ("cascade", "copy"), ("copy", "cascade"), ("cascade", "snapshot")],
)
def test_the_same_for_what_a_snapshot_is_needed_for(story: Story, user: Person, volume_id: str, first: str, second: str) -> None:
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    lost, answers = interleave(story, user, first, second, volume_id, snapshot_id)
    assert answers == {"first": 400, "second": 202}, lost
    story.check()


def test_snapshots_of_one_volume_exclude_nothing(story: Story, user: Person, volume_id: str) -> None:
    _, answers = interleave(story, user, "snapshot", "snapshot", volume_id, "")
    assert answers == {"first": 202, "second": 202}
    story.check()
    row = story.row(volumes, volume_id)
    assert row is not None
    assert (row["snapshots"], len(story.all(snapshots))) == (2, 2)


def test_a_newer_snapshot_waits_for_a_reversion_that_has_looked(story: Story, user: Person, volume_id: str) -> None:
    """The reversion holds the volume's row from its look at the snapshots on, so no newer one slips in."""
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    refused: list[str] = []

    def newer() -> None:
        refused.append(user.refused(*REQUESTS["snapshot"](user, volume_id, "")))

    with story.meanwhile("INSERT INTO jobs", newer, waits=True):
        user.ask(*REQUESTS["revert"](user, volume_id, snapshot_id), status=202)
    assert "its status is 'reverting'" in refused[0]
    story.check()


def interleave(
    story: Story, user: Person, first: str, second: str, volume_id: str, snapshot_id: str, *, done: bool = False
) -> tuple[str, dict[str, int]]:
    """``second`` commits, and with ``done`` its job ends too, while ``first`` has read and not yet written.

    What each was answered, and the first one's words.
    """
    answers: dict[str, int] = {}

    def quicker() -> None:
        answers["second"] = user.raw(*REQUESTS[second](user, volume_id, snapshot_id)).status_code
        if done:
            story.settle()

    with story.meanwhile("INSERT INTO jobs", quicker):
        answer = user.raw(*REQUESTS[first](user, volume_id, snapshot_id))
    answers["first"] = answer.status_code
    return answer.text, answers

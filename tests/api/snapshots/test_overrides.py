"""An administrator's word about a snapshot, and the older reports of hypervisors."""

from typing import Any

import pytest

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def volume_id(story: Story, user: Person) -> str:
    """A volume of 2 GiB that is available."""
    made = user.volume(size=2)
    story.settle()
    return made


@pytest.fixture
def path(user: Person, volume_id: str) -> str:
    """A snapshot that is being made."""
    return f"/snapshots/{user.snapshot(volume_id)}"


def test_a_reset_cancels_the_work_and_the_volume_s_lane_is_free(
    story: Story, user: Person, admin: Person, path: str, volume_id: str
) -> None:
    assert "nothing of it is on any backend" in admin.refused("POST", f"{path}/action", {"os-reset_status": {"status": "available"}})
    admin.act(path, "os-reset_status", {"status": "ERROR"})
    assert user.status(path) == "error"
    row = story.row(volumes, volume_id)
    assert row is not None
    assert (row["live_jobs"], row["snapshots"]) == (0, 1)
    story.check()
    user.delete(path)
    user.delete(f"/volumes/{volume_id}", 400)
    story.check()
    user.delete(f"/volumes/{volume_id}")
    story.check()


@SQLITE
@pytest.mark.parametrize("inner", [None, {}, {"status": "creating"}, {"status": "nonsense"}, {"status": 1}, {"status": "error", "more": 1}])
def test_a_reset_to_what_nothing_leads_out_of_is_refused(admin: Person, path: str, inner: Any) -> None:
    admin.act(path, "os-reset_status", inner, 400)


@SQLITE
def test_a_whole_snapshot_is_reset_back_and_forth(story: Story, admin: Person, path: str) -> None:
    story.settle()
    for status in ("error", "error_deleting", "available"):
        admin.act(path, "os-reset_status", {"status": status})
        assert admin.status(path) == status


@pytest.mark.parametrize("steps", [0, 1], ids=["creating", "available"])
def test_force_deletes_whatever_the_status(story: Story, admin: Person, path: str, volume_id: str, steps: int) -> None:
    for _ in range(steps):
        story.settle()
    admin.act(path, "os-force_delete")
    assert admin.status(path) == "deleting"
    story.check()
    assert (admin.status(path), story.all(snapshots)) == ("gone", [])
    row = story.row(volumes, volume_id)
    assert row is not None
    assert (row["snapshots"], row["live_jobs"]) == (0, 0)


@SQLITE
def test_force_waits_for_a_volume_that_is_made_from_it(story: Story, user: Person, admin: Person, path: str) -> None:
    story.settle()
    made = user.volume(snapshot_id=path.rpartition("/")[2], size=2)
    admin.act(path, "os-force_delete")
    story.check()
    assert (user.status(f"/volumes/{made}"), user.status(path)) == ("available", "gone")


@SQLITE
def test_what_goes_with_its_volume_is_the_volume_s_business(story: Story, user: Person, admin: Person, path: str, volume_id: str) -> None:
    story.settle()
    user.delete(f"/volumes/{volume_id}?cascade=true")
    for action, inner in (("os-force_delete", None), ("os-reset_status", {"status": "error"})):
        assert f"it belongs to volumes delete of {volume_id}" in admin.refused("POST", f"{path}/action", {action: inner})
    story.check()
    assert user.status(path) == "gone"


@SQLITE
def test_reports_of_progress_and_of_failure(story: Story, user: Person, path: str) -> None:
    def report(status: str, progress: str | None = None, answer: int = 202) -> None:
        user.act(path, "os-update_snapshot_status", {"status": status, "progress": progress}, answer)

    report("creating", "45%")
    assert user.get(path)["snapshot"]["os-extended-snapshot-attributes:progress"] == "45%"
    for status, progress in (("creating", "101%"), ("creating", "x%"), ("deleting", None), ("error_deleting", None), ("nonsense", None)):
        report(status, progress, 400)
    report("available", "100%", 400)
    report("error", "80%")
    assert (user.status(path), user.get(path)["snapshot"]["os-extended-snapshot-attributes:progress"]) == ("error", "80%")
    report("error", None, 400)
    story.check()
    user.delete(path)
    report("deleting", "90%")
    report("error_deleting")
    assert user.status(path) == "error_deleting"
    story.check()

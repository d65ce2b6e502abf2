"""An administrator's word: statuses reset and deletions forced, while jobs wait, run, or have just begun."""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.drivers.fake import Action, Rule
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.tables.protocol import events, jobs
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def volume_id(story: Story, user: Person) -> str:
    """A volume of 2 GiB that is available."""
    made = user.volume(size=2)
    story.settle()
    return made


@contextlib.contextmanager
def held(story: Story, method: str) -> Iterator[None]:
    """Within, a worker of its own hangs in the driver's ``method``, with its claimed job; after it, it goes on to its end."""
    store, reached = story.driver.store, threading.Event()
    rule = store.add_rule(Rule(method, Action.HOLD, "30"))
    worker = story.worker((story.backend.queue,))
    [job] = worker.claim({"normal": 1})
    thread = threading.Thread(target=lambda: worker.perform(job))
    thread.start()
    for _ in range(1000):
        if store.struck(rule):
            break
        reached.wait(0.01)
    try:
        yield
    finally:
        store.drop_rule(rule)
        thread.join(30)


def kinds(story: Story, *states: str) -> list[str]:
    return sorted(row["kind"] for row in story.all(jobs) if row["state"] in states)


@SQLITE
@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ({}, "Say a status"),
        ({"status": None}, "Say a status"),
        ({"status": "creating"}, "nothing would lead out of it"),
        ({"status": "deleting"}, "nothing would lead out of it"),
        ({"status": "nonsense"}, "choose one of attaching, available, error, "),
        ({"status": "in-use"}, "it has no attachments"),
        ({"attach_status": "attached"}, "it has no attachments"),
        ({"attach_status": "halfway"}, "attach_status"),
        ({"migration_status": "halfway"}, "migration_status"),
        ({"status": "error", "colour": "red"}, "colour"),
    ],
)
def test_what_would_make_the_row_a_lie_is_refused(admin: Person, volume_id: str, inner: dict[str, Any], said: str) -> None:
    assert said in admin.refused("POST", f"/volumes/{volume_id}/action", {"os-reset_status": inner})


@SQLITE
def test_a_reset_sets_what_was_asked_for_and_is_recorded(story: Story, admin: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}"
    for status in ("error", "maintenance", "error_deleting", "available"):
        admin.act(path, "os-reset_status", {"status": status.upper()})
        assert admin.status(path) == status
    recorded = [(row["from_status"], row["to_status"]) for row in story.all(events) if row["action"] == "volumes.reset_status"]
    assert recorded[:2] == [("available", "error"), ("error", "maintenance")]
    admin.act(path, "os-reset_status", {"migration_status": "error"})
    assert admin.get(path)["volume"]["migration_status"] == "error"
    admin.act(path, "os-reset_status", {"migration_status": "none", "attach_status": "detached"})
    assert admin.get(path)["volume"]["migration_status"] is None


@SQLITE
def test_attachments_must_agree_with_a_status(story: Story, admin: Person, volume_id: str) -> None:
    values = {"status": "error", "attachments": 1, "attached": 1}
    story.store.run("attached", lambda tx: tx.execute(sa.update(volumes).where(volumes.c.id == volume_id).values(values)))
    path = f"/volumes/{volume_id}"
    for inner in ({"status": "available"}, {"attach_status": "detached"}, {"status": "available", "attach_status": "detached"}):
        assert "it still has attachments (1)" in admin.refused("POST", f"{path}/action", {"os-reset_status": inner})
    admin.act(path, "os-reset_status", {"status": "in-use", "attach_status": "attached"})
    assert admin.status(path) == "in-use"


@SQLITE
def test_what_has_no_bytes_cannot_be_made_available(story: Story, user: Person, admin: Person) -> None:
    volume_id = user.volume()
    said = admin.refused("POST", f"/volumes/{volume_id}/action", {"os-reset_status": {"status": "available"}})
    assert "nothing of it is on any backend" in said
    assert kinds(story, "queued") == ["volumes.create"], "a refused reset cancels nothing"
    admin.act(f"/volumes/{volume_id}", "os-reset_status", {"status": "error"})
    assert kinds(story, "queued") == []
    story.check()


def test_a_reset_takes_a_waiting_extension_back(story: Story, user: Person, admin: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}"
    user.act(path, "os-extend", {"new_size": 9})
    admin.act(path, "os-reset_status", {"status": "available"})
    assert kinds(story, "cancelled") == ["volumes.extend"]
    story.check()
    assert admin.get(path)["volume"]["size"] == 2
    user.act(path, "os-extend", {"new_size": 3})
    story.check()
    assert admin.get(path)["volume"]["size"] == 3


def test_a_reset_fences_a_running_extension(story: Story, user: Person, admin: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}"
    user.act(path, "os-extend", {"new_size": 9})
    with held(story, "extend"):
        admin.act(path, "os-reset_status", {"status": "available"})
        user.act(path, "os-extend", {"new_size": 12})
        story.settle()
        assert user.status(path) == "extending", "the lane is the first one's until it has stopped"
    story.check()
    shown = user.get(path)["volume"]
    assert (shown["status"], shown["size"]) == ("available", 12)


@pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
def test_a_job_that_begins_meanwhile_is_cancelled_too(story: Story, user: Person, admin: Person, volume_id: str) -> None:
    """Between the look for jobs and the change of the row another request commits; only the generation shows it.

    SQLite's one writer lets nobody in between.
    """
    path = f"/volumes/{volume_id}"
    with story.meanwhile("UPDATE volumes", functools.partial(user.act, path, "os-extend", {"new_size": 9})):
        admin.act(path, "os-reset_status", {"status": "error"})
    assert user.status(path) == "error"
    assert (kinds(story, "queued"), kinds(story, "cancelled")) == ([], ["volumes.extend"])
    story.check()


@pytest.mark.parametrize("by", ["action", "query"])
def test_force_deletes_what_was_never_made(story: Story, user: Person, admin: Person, by: str) -> None:
    path = f"/volumes/{user.volume(size=3)}"
    force(admin, path, by)
    assert kinds(story, "cancelled") == ["volumes.create"]
    story.check()
    assert (user.status(path), story.driver.objects()) == ("gone", [])


@pytest.mark.parametrize("by", ["action", "query"])
def test_force_waits_for_a_creation_that_runs(story: Story, user: Person, admin: Person, by: str) -> None:
    path = f"/volumes/{user.volume(size=3)}"
    story.step(story.scheduler)
    with held(story, "create"):
        force(admin, path, by)
        story.settle()
        assert user.status(path) == "deleting"
    story.check()
    assert (user.status(path), story.driver.objects()) == ("gone", [])


@SQLITE
def test_force_repeats_a_deletion(story: Story, user: Person, admin: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}"
    user.delete(path)
    force(admin, path, "action")
    assert (kinds(story, "cancelled"), kinds(story, "queued")) == (["volumes.delete"], ["volumes.force_delete"])
    story.check()
    assert user.status(path) == "gone"


@SQLITE
def test_force_does_not_override_attachments_or_snapshots(story: Story, user: Person, admin: Person, volume_id: str) -> None:
    path = f"/volumes/{volume_id}"
    user.act(path, "os-extend", {"new_size": 3})
    story.settle()
    user.snapshot(volume_id)
    said = admin.refused("POST", f"{path}/action", {"os-force_delete": None})
    assert said == (f"Force delete volume {volume_id} is not possible now: it has snapshots (1); delete them first, or ask for cascade")
    assert user.status(path) == "available", "a refused force changes nothing"
    story.settle()
    admin.delete(f"{path}?force=true&cascade=true")
    story.check()
    assert user.status(path) == "gone"


@SQLITE
def test_a_forced_deletion_that_nobody_runs_does_not_bring_the_old_status_back(story: Story, user: Person, admin: Person) -> None:
    path = f"/volumes/{user.volume()}"
    story.step(story.scheduler)
    for by, end in (("query", "error"), ("action", "error")):
        force(admin, path, by)
        end_without_worker(story)
        assert user.status(path) == end
    story.check()


@SQLITE
def test_a_reset_ends_a_reversion_and_frees_its_snapshot(story: Story, user: Person, admin: Person, volume_id: str) -> None:
    snapshot_id = user.snapshot(volume_id)
    story.settle()
    user.act(f"/volumes/{volume_id}", "revert", {"snapshot_id": snapshot_id})
    said = admin.refused("POST", f"/snapshots/{snapshot_id}/action", {"os-force_delete": None})
    assert f"it belongs to volumes revert of {volume_id}" in said
    admin.act(f"/volumes/{volume_id}", "os-reset_status", {"status": "error"})
    assert (user.status(f"/volumes/{volume_id}"), user.status(f"/snapshots/{snapshot_id}")) == ("error", "available")
    story.check()
    user.delete(f"/volumes/{volume_id}?cascade=true")
    story.check()
    assert story.all(snapshots) == []


def force(person: Person, path: str, by: str) -> None:
    if by == "action":
        person.act(path, "os-force_delete")
    else:
        person.delete(f"{path}?force=true")


def end_without_worker(story: Story) -> None:
    """What rescue does with jobs that no worker can run."""
    from breezeblock import errors
    from breezeblock.core.endings import abandon
    from breezeblock.core.jobs import rows

    for job in story.store.read("waiting", lambda tx: rows(tx, jobs.c.state == "queued")):
        reason = errors.NoCapableWorker(queue=job.queue, verb=job.kind)
        work = functools.partial(abandon, job=job, registry=story.registry, error=reason, now=story.clock.utcnow())
        assert story.store.run("abandon", work)

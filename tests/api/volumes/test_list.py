"""Lists and the summary: filters, orders, pages, counts, and how many statements they cost."""

import datetime
import functools
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import sqlalchemy as sa

from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Tx
from tests.support.rows import NOW, add_volume
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
MINUTE = datetime.timedelta(minutes=1)


def fill(story: Story, count: int = 5, **changes: Any) -> list[str]:
    """Volumes of project p, a minute apart, oldest first."""
    return [
        add_volume(story.store, project_id="p", name=f"v{n}", size_gib=n + 1, created_at=NOW + n * MINUTE, **changes) for n in range(count)
    ]


def names(person: Person, query: str, path: str = "/volumes/detail") -> list[str]:
    return [each["name"] for each in person.get(f"{path}?{query}")["volumes"]]


def test_the_newest_come_first_and_pages_link_to_the_next(story: Story, user: Person) -> None:
    fill(story)
    assert names(user, "") == ["v4", "v3", "v2", "v1", "v0"]
    first = user.get("/volumes?limit=2&sort=size:asc&name~=v")
    assert [each["name"] for each in first["volumes"]] == ["v0", "v1"]
    [link] = first["volumes_links"]
    below = urlsplit(link["href"])
    assert link["rel"] == "next"
    assert below.path == "/v3/p/volumes"
    second = user.get(f"/volumes?{below.query}")
    assert [each["name"] for each in second["volumes"]] == ["v2", "v3"]
    assert "count" not in first
    assert user.get("/volumes/detail?limit=1&with_count=true")["count"] == 5
    assert "volumes_links" not in user.get("/volumes?limit=5")


FILTERED = {
    "name=v1": ["v1"],
    "name~=1": ["v1"],
    "status=error": ["v2"],
    "size=4": ["v3"],
    "bootable=true": ["v1"],
    "bootable=False": ["v4", "v3", "v2", "v0"],
    "availability_zone=z": ["v4"],
    "metadata=%7B'k':'v'%7D": ["v3"],
    'metadata=%7B"k":"other"%7D': [],
    "glance_metadata=%7B'os':'x'%7D": ["v0"],
    "group_id=none": [],
    "migration_status=success": ["v4"],
    f"created_at={quote('gt:2026-01-01T12:01:00,lte:2026-01-01T12:03:00')}": ["v3", "v2"],
    "consumes_quota=false": ["v0"],
    "sort=name:asc&limit=2": ["v0", "v1"],
    "sort_key=size&sort_dir=asc&offset=3": ["v3", "v4"],
    "name=v1&status=error": [],
    "project_id=q": [],
}


def test_filters(story: Story, user: Person) -> None:
    ids = fill(story)
    changes: list[dict[str, Any]] = [
        {"image_metadata": {"os": "x"}, "consumes_quota": False},
        {"bootable": True},
        {"status": "error"},
        {"metadata": {"k": "v", "more": "m"}},
        {"availability_zone": "z", "migration_status": "success"},
    ]
    for volume_id, change in zip(ids, changes, strict=True):
        changed = sa.update(volumes).where(volumes.c.id == volume_id).values(change)
        story.store.run("change", functools.partial(Tx.execute, statement=changed))
    assert {query: names(user, query) for query in FILTERED} == FILTERED
    assert {query: names(user, query, "/volumes") for query in FILTERED} == FILTERED
    for query, found in FILTERED.items():
        if not query.startswith("sort"):
            assert user.get(f"/volumes/summary?{query}")["volume-summary"]["total_count"] == len(found)


@SQLITE
def test_administrators_see_all_projects_and_hosts(story: Story, admin: Person) -> None:
    fill(story, 1, pool_id="a@b#c")
    add_volume(story.store, project_id="q", name="w", pool_id="a@bb#c")
    assert names(admin, "") == ["v0"]
    assert sorted(names(admin, "all_tenants=1")) == ["v0", "w"]
    assert names(admin, "all_tenants=1&project_id=q") == ["w"]
    assert names(admin, "all_tenants=1&host=a@b") == ["v0"]
    assert sorted(names(admin, "all_tenants=1&host=a")) == ["v0", "w"]
    assert names(admin, "all_tenants=1&host=a@bb%23c") == ["w"]
    assert admin.get("/volumes/summary?all_tenants=1")["volume-summary"]["total_count"] == 2
    admin.get("/volumes?all_tenants=perhaps", 400)


@SQLITE
@pytest.mark.parametrize("query", ["colour=red", "host=a@b", "sort=colour", "limit=-1", "limit=x", "marker=none&limit=1", "bootable=maybe"])
def test_what_a_list_cannot_do_is_said(user: Person, query: str) -> None:
    user.get(f"/volumes?{query}", 404 if "marker" in query else 400)


@SQLITE
def test_older_versions_ignore_unknown_filters_and_know_fewer(story: Story) -> None:
    fill(story, 2)
    old = story.person(version="3.0")
    assert names(old, "colour=red&with_count=true&name~=9&created_at=gt:2027-01-01&bootable=nonsense") == ["v1", "v0"]
    old.get("/volumes/summary", 404)


@SQLITE
def test_the_summary_grows_with_the_versions(story: Story) -> None:
    fill(story, 2, metadata={"k": "v", "n": "1"})
    fill(story, 1, metadata={"k": "w"})
    assert story.person(version="3.12").get("/volumes/summary") == {"volume-summary": {"total_size": 4, "total_count": 3}}
    newest = story.person().get("/volumes/summary")["volume-summary"]
    assert {key: sorted(values) for key, values in newest.pop("metadata").items()} == {"k": ["v", "w"], "n": ["1"]}
    assert newest == {"total_size": 4, "total_count": 3}
    assert story.person("eve", "empty").get("/volumes/summary")["volume-summary"] == {"total_size": 0, "total_count": 0, "metadata": {}}


def test_a_page_costs_the_same_statements_whatever_its_size(story: Story, user: Person) -> None:
    ids = fill(story, 30)

    def cost(path: str) -> int:
        with story.statements() as seen:
            user.get(path)
        return len([statement for statement in seen if statement.lstrip().startswith("SELECT")])

    assert [cost(f"/volumes/detail?limit={limit}") for limit in (1, 30)] == [1, 1]
    assert cost("/volumes?limit=30") == 1
    assert cost("/volumes/detail?with_count=true") == 2
    assert cost(f"/volumes/detail?marker={ids[10]}") == 2
    assert cost(f"/volumes/{ids[0]}") == 1
    attach(story, *ids)
    assert [cost(f"/volumes/detail?limit={limit}") for limit in (1, 30)] == [2, 2]
    assert cost(f"/volumes/{ids[0]}") == 2


@SQLITE
def test_attachments_stand_in_their_volumes(story: Story, user: Person, admin: Person) -> None:
    ids = fill(story, 3)
    attach(story, ids[0], ids[2])
    attach(story, ids[1], status="reserved")
    shown = {each["id"]: each["attachments"] for each in user.get("/volumes/detail")["volumes"]}
    assert shown[ids[1]] == [], "what is only reserved is not attached"
    [one] = shown[ids[0]]
    assert one.pop("attachment_id")
    assert one == {
        "id": ids[0], "volume_id": ids[0], "server_id": "server", "host_name": None, "device": "/dev/vdb",
        "attached_at": "2026-01-01T12:00:00.000000",
    }  # fmt: skip
    assert admin.get(f"/volumes/{ids[0]}")["volume"]["attachments"][0]["host_name"] == "compute1"


def attach(story: Story, *ids: str, status: str = "attached") -> None:
    """Write an attachment of each volume, as it counts on the volume's row."""
    rows = [
        {"id": f"{place:036d}"[:30] + volume_id[:6], "volume_id": volume_id, "project_id": "p", "user_id": "u", "mode": "rw"}
        | {"instance_id": "server", "attached_host": "compute1", "mountpoint": "/dev/vdb", "attach_status": status}
        | {"created_at": NOW, "attached_at": NOW}
        for place, volume_id in enumerate(ids)
    ]
    counted = {"attachments": 1, "attached": int(status == "attached")}

    def work(tx: Any) -> None:
        tx.execute(sa.update(volumes).where(volumes.c.id.in_(ids)).values(counted))
        tx.execute(sa.insert(attachments), rows)

    story.store.run("attach", work)

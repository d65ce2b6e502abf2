"""Pages, orders and filters of lists: the same on every database."""

import datetime
import itertools
import json
import uuid
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import sqlalchemy as sa

from breezeblock.config import ApiSettings, Settings
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store
from tests.support.api import Client, application

MORNING = datetime.datetime(2026, 5, 1, 6, 0, 0, 1)  # noqa: DTZ001 - naive UTC, as stored


def fill(store: Store, *rows: dict[str, Any]) -> list[str]:
    """Insert rows of project p1, a minute apart, and return their ids in that order."""
    whole = [
        {"id": str(uuid.uuid4()), "project_id": "p1", "user_id": "u", "status": "available", "size_gib": 1, "name": None, "bootable": False}
        | {"metadata": {}, "image_metadata": {}, "created_at": MORNING + datetime.timedelta(minutes=number)}
        | row
        for number, row in enumerate(rows)
    ]
    store.run("fill", lambda tx: tx.execute(sa.insert(volumes), whole))
    return [str(row["id"]) for row in whole]


def walk(client: Client, path: str) -> list[list[str]]:
    """The ids of each page, following the links to the end."""
    pages = []
    for _ in range(50):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        pages.append([item["id"] for item in answer.json["widgets"]])
        links = answer.json.get("widgets_links")
        if links is None:
            return pages
        [link] = links
        assert link["rel"] == "next"
        parts = urlsplit(link["href"])
        path = f"{parts.path}?{parts.query}"
    raise AssertionError("the pages do not end")


def found(client: Client, query: str, **headers: str) -> list[str]:
    [page] = walk(client, f"/v3/p1/widgets?{query}")
    return page


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("keys", [("name",), ("size",), ("size", "name"), ("name", "created_at"), ("created_at",), ("id",)])
def test_pages_hold_every_row_once_in_order_wherever_null_stands(store: Store, keys: tuple[str, ...], direction: str) -> None:
    names = [None, "b", "", "a", "B", None, "a", "é", "b"]
    rows = [{"name": name, "size_gib": size % 3 + 1} for size, name in enumerate(names)]
    ids = fill(store, *rows)
    fill(store, {"project_id": "p2"})
    values = dict(zip(ids, rows, strict=True))

    def rank(widget_id: str) -> tuple[Any, ...]:
        row = values[widget_id]
        columns = {"name": (row["name"] is not None, row["name"] or ""), "size": row["size_gib"]}
        columns |= {"created_at": ids.index(widget_id), "id": widget_id}
        return (*(columns[key] for key in keys), widget_id)

    expected = sorted(ids, key=rank, reverse=direction == "desc")
    client = Client(application(store))
    sort = ",".join(f"{key}:{direction}" for key in keys)
    for limit in (1, 2, 4, 9, 100):
        pages = walk(client, f"/v3/p1/widgets?sort={sort}&limit={limit}")
        assert list(itertools.chain(*pages)) == expected
        assert len(pages) == -(-len(ids) // limit)


def test_directions_may_differ(store: Store) -> None:
    ids = fill(
        store, {"size_gib": 1, "name": "a"}, {"size_gib": 1, "name": "b"}, {"size_gib": 2, "name": "a"}, {"size_gib": 2, "name": None}
    )
    pages = walk(Client(application(store)), "/v3/widgets?sort=size:desc,name:asc&limit=1")
    assert pages == [[ids[3]], [ids[2]], [ids[0]], [ids[1]]]


def test_the_default_is_the_newest_first(store: Store) -> None:
    ids = fill(store, {}, {}, {})
    client = Client(application(store))
    assert found(client, "") == ids[::-1]
    assert found(client, "sort_dir=asc") == ids
    assert found(client, "sort_key=created_at") == ids[::-1]
    assert found(client, "sort=") == ids[::-1]


def test_offset_marker_and_limit(store: Store) -> None:
    ids = fill(store, {}, {}, {}, {})
    client = Client(application(store))
    assert found(client, "sort=created_at:asc&offset=2") == ids[2:]
    assert found(client, f"sort=created_at:asc&marker={ids[1]}") == ids[2:]
    assert found(client, f"sort=created_at:asc&marker={ids[0]}&offset=1") == ids[2:]
    assert found(client, "limit=0") == []
    assert found(client, f"marker={ids[0]}") == []


def test_no_page_is_longer_than_the_service_allows(store: Store) -> None:
    fill(store, *[{} for _ in range(5)])
    client = Client(application(store, settings=Settings(api=ApiSettings(max_limit=2))))
    assert [len(page) for page in walk(client, "/v3/p1/widgets")] == [2, 2, 1]
    assert [len(page) for page in walk(client, "/v3/p1/widgets?limit=5000")] == [2, 2, 1]


def test_a_next_link_keeps_every_parameter(store: Store) -> None:
    ids = fill(store, {"name": "a b"}, {"name": "a b"})
    client = Client(application(store))
    answer = client.get(f"/v3/p1/widgets?name={quote('a b')}&limit=1&sort=created_at&offset=0&with_count=true", headers={"Host": "c:1"})
    assert answer.json["count"] == 2
    assert answer.json["widgets_links"][0]["href"] == (
        f"http://c:1/v3/p1/widgets?name=a+b&limit=1&sort=created_at&with_count=true&marker={ids[1]}"
    )


def test_the_count_is_of_all_pages_and_has_a_version(store: Store) -> None:
    fill(store, {"size_gib": 2}, {"size_gib": 2}, {"size_gib": 3})
    client = Client(application(store))
    assert client.get("/v3/widgets?limit=1&size=2&with_count=True").json["count"] == 2
    assert client.get("/v3/widgets?limit=0&with_count=1").json == {"widgets": [], "count": 3}
    assert "count" not in client.get("/v3/widgets?with_count=false").json
    assert "count" not in client.get("/v3/widgets?with_count=true", headers={"OpenStack-API-Version": "volume 3.30"}).json


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        "limit=1e3",
        "limit=99999999999999999999999",
        "limit=\u0661",
        "offset=-1",
        "offset=2147483648",
        "sort=colour",
        "sort=name:up",
        "sort=name&sort_key=name",
        "sort=name&sort_dir=asc",
        "sort_key=colour",
        "sort_dir=up",
        "with_count=perhaps",
        "size=x",
        "size=9999999999999999999999",
        "bootable=perhaps",
        "created_at=gt:never",
        "created_at=above:2026-05-01",
        "created_at=gt:0001-01-01T00:00:00%2B10:00",
        "metadata=x",
        "metadata={'a':1}",
        "metadata=['a']",
        "metadata=" + "[" * 5000,
        "colour=red",
        "size~=1",
    ],
)
def test_what_cannot_be_read_is_a_bad_request(store: Store, query: str) -> None:
    answer = Client(application(store)).get(f"/v3/widgets?{query}")
    assert answer.status_code == 400, answer.text
    assert "nvalid" in answer.json["badRequest"]["message"] or "cannot" in answer.json["badRequest"]["message"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_marker_that_the_caller_cannot_see_is_not_found(store: Store) -> None:
    [theirs] = fill(store, {"project_id": "p2"})
    for marker in (theirs, "x", "x" * 3000):
        assert Client(application(store)).get(f"/v3/widgets?marker={marker}").status_code == 404


def test_filters_by_text_number_and_boolean(store: Store) -> None:
    ids = fill(store, {"name": "50%_a", "bootable": True}, {"name": "50xxa", "size_gib": 7}, {"status": "error", "name": "A"})
    client = Client(application(store))
    assert found(client, f"name={quote('50%_a')}") == [ids[0]]
    assert found(client, f"name~={quote('%_')}") == [ids[0]]
    assert sorted(found(client, "name~=50")) == sorted(ids[:2])
    assert found(client, "name=a") == []
    assert found(client, "size=7&name=50xxa") == [ids[1]]
    assert found(client, "size=7&status=error") == []
    assert found(client, "bootable=T&status=available") == [ids[0]]
    assert found(client, "bootable=true") == [ids[0]]
    assert sorted(found(client, "bootable=0")) == sorted(ids[1:])


def test_filters_by_time_all_hold(store: Store) -> None:
    ids = fill(store, {}, {}, {}, {})
    client = Client(application(store))
    at = [quote((MORNING + datetime.timedelta(minutes=minute)).isoformat()) for minute in range(4)]
    assert found(client, f"sort=created_at:asc&created_at=gte:{at[1]},lt:{at[3]}") == ids[1:3]
    assert found(client, f"created_at={at[2]}") == [ids[2]]
    assert found(client, f"sort=created_at:asc&created_at=neq:{at[2]},gt:{at[0]}") == [ids[1], ids[3]]
    east = quote((MORNING + datetime.timedelta(hours=2, minutes=3)).isoformat() + "+02:00")
    assert found(client, f"created_at=gte:{east}") == [ids[3]]
    assert found(client, "created_at=lte:2026-05-01T05:59:59Z") == []


def test_filters_by_metadata_need_every_entry(store: Store) -> None:
    odd = 'it\'s "$.a" \\ %'
    ids = fill(store, {"metadata": {"a": "1", "b": "2"}}, {"metadata": {"a": "1"}}, {"metadata": {odd: odd}})
    client = Client(application(store))

    def having(entries: dict[str, str], write: Any = str) -> list[str]:
        return sorted(found(client, f"metadata={quote(write(entries))}"))

    assert having({"a": "1"}) == having({"a": "1"}, json.dumps) == sorted(ids[:2])
    assert having({"a": "1", "b": "2"}) == [ids[0]]
    assert having({"a": "2"}) == []
    assert having({odd: odd}) == [ids[2]]
    assert having({}) == sorted(ids)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_each_version_has_its_filters(store: Store) -> None:
    ids = fill(store, {"name": "ab", "bootable": True}, {"name": "b"})

    def at(version: str, query: str) -> list[str]:
        return sorted(found(Client(application(store), headers={"OpenStack-API-Version": f"volume {version}"}), query))

    assert at("3.30", "colour=red&name~=a") == sorted(ids)
    assert Client(application(store), headers={"OpenStack-API-Version": "volume 3.31"}).get("/v3/widgets?colour=red").status_code == 400
    assert at("3.34", "name~=a") == [ids[0]]
    assert at("3.1", "bootable=perhaps") == [ids[1]]
    assert at("3.30", "created_at=gt:2100-01-01") == sorted(ids)
    assert at("3.60", "created_at=gt:2100-01-01") == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_page_is_found_by_an_index_and_not_by_counting(store: Store) -> None:
    """One plan whatever the page: the statement behind a marker of a project's list starts at the marker, and does not sort."""
    ids = fill(store, *[{} for _ in range(50)])
    plans = []

    def watch(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "LIMIT" in statement:
            plans.append((statement, parameters))

    sa.event.listen(store._engine, "before_cursor_execute", watch)
    Client(application(store)).get(f"/v3/widgets?limit=5&marker={ids[25]}")
    [(statement, parameters)] = plans
    plan = store.read("plan", lambda tx: tx._frame.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())
    assert "ix_volumes_project_id_created_at_id (project_id=? AND created_at<?)" in str(plan)
    assert "TEMP B-TREE" not in str(plan)

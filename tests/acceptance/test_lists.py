"""Thirty volumes: pages, markers, links, orders and filters."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.blackbox import Endpoint

COUNT = 30


@pytest.fixture(scope="module")
def volumes(endpoint: Endpoint) -> Iterator[list[dict[str, Any]]]:
    """Thirty volumes of three sizes, the odd ones marked; all gone afterwards."""
    made = []
    for number in range(COUNT):
        body = {"size": 1 + number % 3, "name": f"listed-{number:02}", "metadata": {"odd": str(number % 2)}}
        made.append(endpoint.do("POST", "/volumes", {"volume": body})["volume"]["id"])
    yield [endpoint.settle("volumes", volume_id) for volume_id in made]
    for volume_id in made:
        endpoint.do("DELETE", f"/volumes/{volume_id}")
    for volume_id in made:
        endpoint.gone("volumes", volume_id)


def pages(endpoint: Endpoint, first: str) -> Iterator[list[dict[str, Any]]]:
    """Each page, by following the links to the next."""
    url: str | None = endpoint.url + first
    while url is not None:
        reply = endpoint.ask("GET", url)
        assert reply.status == 200, reply
        yield reply.body["volumes"]
        url = next((link["href"] for link in reply.body.get("volumes_links", []) if link["rel"] == "next"), None)


@pytest.mark.parametrize("limit", [1, 7, 10, 30, 31])
def test_links_lead_through_all_pages(endpoint: Endpoint, volumes: list[dict[str, Any]], limit: int) -> None:
    found = list(pages(endpoint, f"/volumes?limit={limit}&sort=created_at:asc,id:asc"))
    assert [len(page) for page in found if page][:-1] == [limit] * ((COUNT - 1) // limit)
    assert [volume["id"] for page in found for volume in page] == [volume["id"] for volume in volumes]


def test_the_newest_is_first_and_a_marker_is_left_out(endpoint: Endpoint, volumes: list[dict[str, Any]]) -> None:
    newest_first = [volume["id"] for volume in endpoint.get("/volumes")["volumes"]]
    assert newest_first == [volume["id"] for volume in reversed(volumes)]
    after = endpoint.get("/volumes", marker=newest_first[9], limit=5)["volumes"]
    assert [volume["id"] for volume in after] == newest_first[10:15]
    skipped = endpoint.get("/volumes", offset=28)["volumes"]
    assert [volume["id"] for volume in skipped] == newest_first[28:]


def test_a_page_survives_the_deletion_of_what_was_on_it(endpoint: Endpoint, volumes: list[dict[str, Any]]) -> None:
    extra = endpoint.do("POST", "/volumes", {"volume": {"size": 1, "name": "listed-99"}})["volume"]["id"]
    endpoint.settle("volumes", extra)
    page = pages(endpoint, "/volumes?limit=10&sort=name:desc")
    assert next(page)[0]["id"] == extra
    endpoint.do("DELETE", f"/volumes/{extra}")
    endpoint.gone("volumes", extra)
    assert [volume["name"] for rest in page for volume in rest] == [f"listed-{number:02}" for number in range(20, -1, -1)]


def test_lists_are_sorted_by_several_keys(endpoint: Endpoint, volumes: list[dict[str, Any]]) -> None:
    found = endpoint.get("/volumes/detail", sort="size:desc,name:asc")["volumes"]
    assert [(-volume["size"], volume["name"]) for volume in found] == sorted((-volume["size"], volume["name"]) for volume in volumes)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"name": "listed-07"}, 1),
        ({"name~": "listed-1"}, 10),
        ({"status": "available"}, 30),
        ({"status": "error"}, 0),
        ({"metadata": "{'odd': '1'}"}, 15),
        ({"metadata": "{'odd': '1', 'even': '1'}"}, 0),
        ({"created_at": "gt:2020-01-01T00:00:00"}, 30),
        ({"created_at": "gt:2020-01-01T00:00:00,lt:2020-01-02T00:00:00"}, 0),
        ({"bootable": "true"}, 0),
        ({"availability_zone": "nowhere"}, 0),
    ],
    ids=str,
)
def test_lists_are_filtered_and_counted(endpoint: Endpoint, volumes: list[dict[str, Any]], query: dict[str, str], count: int) -> None:
    reply = endpoint.get("/volumes/detail", with_count="true", limit=5, **query)
    assert (len(reply["volumes"]), reply["count"]) == (min(5, count), count)


def test_the_summary_agrees_with_the_list(endpoint: Endpoint, volumes: list[dict[str, Any]]) -> None:
    summary = endpoint.get("/volumes/summary")["volume-summary"]
    assert (summary["total_count"], summary["total_size"]) == (COUNT, sum(volume["size"] for volume in volumes))
    assert sorted(summary["metadata"]["odd"]) == ["0", "1"]


def test_another_project_sees_none_of_them(endpoint: Endpoint, volumes: list[dict[str, Any]]) -> None:
    everything = {volume["id"] for volume in endpoint.get("/volumes", all_tenants=1)["volumes"]}
    assert {volume["id"] for volume in volumes} <= everything
    assert endpoint.get("/volumes", all_tenants=1, project_id="another")["volumes"] == []

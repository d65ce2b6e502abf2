"""Metadata of volumes and snapshots, key by key and as a whole, with ETags, and two writers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.rows import add_snapshot, add_volume
from tests.support.story import Person, Story

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BOTH = pytest.mark.parametrize("resource", ["volumes", "snapshots"])


def path_of(story: Story, resource: str) -> str:
    volume_id = add_volume(story.store, project_id="p")
    found = volume_id if resource == "volumes" else add_snapshot(story.store, volume_id, project_id="p")
    return f"/{resource}/{found}"


@SQLITE
@BOTH
def test_keys_are_set_merged_replaced_and_removed(story: Story, user: Person, resource: str) -> None:
    path = path_of(story, resource)
    metadata = f"{path}/metadata"
    assert user.get(metadata) == {"metadata": {}}
    assert user.post(metadata, {"metadata": {"a": "1", "b": "2"}}, 200) == {"metadata": {"a": "1", "b": "2"}}
    assert user.post(metadata, {"metadata": {"b": "3"}}, 200) == {"metadata": {"b": "3"}}
    assert user.get(metadata) == {"metadata": {"a": "1", "b": "3"}}
    assert user.put(f"{metadata}/c", {"meta": {"c": ""}}) == {"meta": {"c": ""}}
    assert user.get(f"{metadata}/c") == {"meta": {"c": ""}}
    user.delete(f"{metadata}/a", 200)
    assert user.get(metadata) == {"metadata": {"b": "3", "c": ""}}
    assert user.put(metadata, {"metadata": {"z": "26"}}) == {"metadata": {"z": "26"}}
    assert user.get(path)[resource[:-1]]["metadata"] == {"z": "26"}
    assert user.put(metadata, {"metadata": {}}) == {"metadata": {}}
    for method in ("GET", "DELETE"):
        assert user.refused(method, f"{metadata}/z", status=404) == "Metadata z could not be found."


@SQLITE
@BOTH
def test_malformed_metadata_is_refused(story: Story, user: Person, resource: str) -> None:
    metadata = f"{path_of(story, resource)}/metadata"
    bad: list[Any] = [{}, {"metadata": None}, {"metadata": {"k": 1}}, {"metadata": {"": "v"}}, {"metadata": {"k": "x" * 256}}, {"meta": {}}]
    for body in bad:
        user.post(metadata, body, 400)
    others: list[Any] = [{"meta": {}}, {"meta": {"other": "v"}}, {"meta": {"k": "v", "l": "w"}}, {"metadata": {"k": "v"}}]
    for one in others:
        user.put(f"{metadata}/k", one, 400)
    for start in range(0, 256, 64):
        user.post(metadata, {"metadata": {f"k{n}": "v" for n in range(start, start + 64)}}, 200)
    assert "at most 256" in user.refused("POST", metadata, {"metadata": {"one": "more"}})
    user.post(metadata, {"metadata": {"k0": "other"}}, 200)


@SQLITE
def test_an_etag_guards_a_change_from_its_version_on(story: Story, user: Person) -> None:
    metadata = f"{path_of(story, 'volumes')}/metadata"
    user.post(metadata, {"metadata": {"a": "1", "b": "2"}}, 200)
    tag = user.raw("GET", metadata).headers["etag"]
    user.put(metadata, {"metadata": {"b": "2", "a": "1"}})
    assert user.raw("GET", metadata).headers["etag"] == tag, "the order of keys means nothing"
    user.ask("PUT", f"{metadata}/a", {"meta": {"a": "2"}}, status=200, If_Match=f'"x", {tag}')
    assert user.raw("GET", metadata).headers["etag"] != tag
    for method, below, body in (
        ("PUT", "/a", {"meta": {"a": "3"}}),
        ("POST", "", {"metadata": {}}),
        ("PUT", "", {"metadata": {}}),
        ("DELETE", "/a", None),
    ):
        user.ask(method, metadata + below, body, status=412, If_Match=tag)
    assert user.get(metadata) == {"metadata": {"a": "2", "b": "2"}}
    user.ask("DELETE", f"{metadata}/b", status=200, If_Match="*")
    old = story.person(version="3.14")
    old.ask("DELETE", f"{metadata}/a", status=200, If_Match=tag)
    assert "etag" not in old.raw("GET", metadata).headers


@SQLITE
def test_a_volume_under_maintenance_keeps_its_metadata(story: Story, user: Person) -> None:
    path = f"/volumes/{add_volume(story.store, project_id='p', status='maintenance')}"
    for method, below, body in (("POST", "/metadata", {"metadata": {"a": "b"}}), ("PUT", "", {"volume": {"name": "n"}})):
        assert "it is under maintenance" in user.refused(method, path + below, body)


def test_writers_of_different_keys_lose_nothing(story: Story, user: Person) -> None:
    metadata = f"{path_of(story, 'volumes')}/metadata"
    together = threading.Barrier(4)

    def write(number: int) -> None:
        together.wait(10)
        for step in range(5):
            user.put(f"{metadata}/k{number}{step}", {"meta": {f"k{number}{step}": "v"}})

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    assert len(user.get(metadata)["metadata"]) == 20

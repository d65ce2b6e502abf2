"""A volume's life over HTTP: made, shown, changed, extended, deleted, with what can go wrong on the way."""

import pytest

from tests.support.story import Person, Story

ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_a_volume_from_nothing_to_gone(story: Story, user: Person) -> None:
    made = user.post("/volumes", {"volume": {"size": 2, "name": "first", "metadata": {"k": "v"}}})["volume"]
    assert (made["status"], made["size"], made["name"], made["metadata"]) == ("creating", 2, "first", {"k": "v"})
    path = f"/volumes/{made['id']}"
    assert user.status(path) == "creating"
    assert "its status is 'creating'" in user.refused("DELETE", path)
    story.settle()
    shown = user.get(path)["volume"]
    assert shown["status"] == "available"
    assert {**made, "status": "", "updated_at": ""} == {**shown, "status": "", "updated_at": ""} | {
        name: made[name] for name in ("availability_zone", "service_uuid")
    }
    user.act(path, "os-extend", {"new_size": 3})
    assert user.status(path) == "extending"
    story.settle()
    assert user.get(path)["volume"]["size"] == 3
    user.delete(path)
    assert user.status(path) == "deleting"
    story.settle()
    assert user.status(path) == "gone"
    user.get(path, 404)
    story.check()
    assert story.driver.objects() == []

"""What changes a volume's row and nothing else: names, flags, what is known of its image."""

from typing import Any

import pytest

from tests.support.rows import add_volume
from tests.support.story import Person, Story

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def path(story: Story) -> str:
    return f"/volumes/{add_volume(story.store, project_id='p', name='old', description='old')}"


@pytest.mark.parametrize(
    ("sent", "name", "description"),
    [
        ({"name": "new"}, "new", "old"),
        ({"description": None}, "old", None),
        ({"display_name": " older ", "display_description": "d"}, "older", "d"),
        ({"display_name": "older", "name": "new"}, "new", "old"),
        ({"name": ""}, "", "old"),
    ],
)
def test_an_update_changes_what_was_sent(user: Person, path: str, sent: dict[str, Any], name: str, description: str) -> None:
    shown = user.put(path, {"volume": sent})["volume"]
    assert (shown["name"], shown["description"]) == (name, description)
    assert user.get(path)["volume"] == shown
    assert shown["updated_at"] is not None


def test_metadata_in_an_update_stand_for_all_of_it(user: Person, path: str) -> None:
    user.put(path, {"volume": {"metadata": {"a": "b"}}})
    assert user.put(path, {"volume": {"metadata": {"c": "d"}}})["volume"]["metadata"] == {"c": "d"}


def test_an_update_of_nothing_is_refused_at_every_version(story: Story, path: str) -> None:
    for version in ("3.0", "3.53"):
        person = story.person(version=version)
        person.put(path, {"volume": {}}, 400)
        person.put(path, {"volume": {"size": 7}}, 400)
        person.put(path, {}, 400)
    assert story.person(version="3.52").put(path, {"volume": {"size": 7, "name": "n"}})["volume"]["size"] == 1
    story.person(version="3.53").put(path, {"volume": {"size": 7, "name": "n"}}, 400)


def test_bootable_and_readonly(story: Story, user: Person, path: str) -> None:
    assert user.ask("POST", f"{path}/action", {"os-set_bootable": {"bootable": "True"}}, status=200) is None
    assert user.get(path)["volume"]["bootable"] == "true"
    for value, shown in ((True, "True"), (False, "False")):
        user.act(path, "os-update_readonly_flag", {"readonly": value})
        assert user.get(path)["volume"]["metadata"] == {"readonly": shown}, "where clients look for it"
    assert user.get(f"{path}/metadata") == {"metadata": {}}
    attached = f"/volumes/{add_volume(story.store, project_id='p', status='in-use')}"
    user.ask("POST", f"{attached}/action", {"os-set_bootable": {"bootable": True}}, status=200)
    said = user.refused("POST", f"{attached}/action", {"os-update_readonly_flag": {"readonly": True}})
    assert said.endswith("its status is 'in-use', and must be available")
    for action, inner in (("os-set_bootable", {}), ("os-set_bootable", {"bootable": "perhaps"}), ("os-update_readonly_flag", None)):
        user.act(path, action, inner, 400)


def test_what_is_known_of_the_image(user: Person, path: str) -> None:
    assert "volume_image_metadata" not in user.get(path)["volume"]
    user.act(path, "os-set_image_metadata", {"metadata": {"os": "debian", "min_ram": "1"}}, 200)
    assert user.act(path, "os-set_image_metadata", {"metadata": {"min_ram": "2"}}, 200) == {"metadata": {"os": "debian", "min_ram": "2"}}
    user.act(path, "os-unset_image_metadata", {"key": "os"}, 200)
    user.act(path, "os-unset_image_metadata", {"key": "os"}, 404)
    assert user.act(path, "os-show_image_metadata", None, 200) == {"metadata": {"min_ram": "2"}}
    assert user.get(path)["volume"]["volume_image_metadata"] == {"min_ram": "2"}


def test_a_volume_in_the_clear_says_so(user: Person, path: str) -> None:
    assert user.get(f"{path}/encryption") == {"encryption_key_id": None}

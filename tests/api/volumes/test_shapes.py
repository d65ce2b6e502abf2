"""What a volume looks like, to whom, at which microversion."""

import pytest

from tests.support.story import Story

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ALWAYS = {
    "id", "status", "size", "availability_zone", "created_at", "updated_at", "name", "description", "volume_type", "snapshot_id",
    "source_volid", "metadata", "user_id", "bootable", "encrypted", "replication_status", "consistencygroup_id", "multiattach",
    "migration_status", "os-vol-tenant-attr:tenant_id", "links", "attachments",
}  # fmt: skip
ADMINS = {"os-vol-host-attr:host", "os-vol-mig-status-attr:migstat", "os-vol-mig-status-attr:name_id"}
LATER = {
    "3.0": set[str](),
    "3.27": {"group_id"},
    "3.50": {"group_id", "shared_targets", "service_uuid"},
    "3.71": {"group_id", "shared_targets", "service_uuid", "volume_type_id", "consumes_quota"},
}
ADMINS_LATER = {"3.0": set[str](), "3.27": {"provider_id"}, "3.50": {"provider_id"}, "3.71": {"provider_id", "cluster_name"}}


@pytest.mark.parametrize("version", LATER)
def test_every_version_shows_its_fields_and_no_others(story: Story, version: str) -> None:
    user, admin = story.person(version=version), story.person("admin", version=version)
    made = user.post("/volumes", {"volume": {"size": 1, "name": "v"}})["volume"]
    story.settle()
    for person, keys in ((user, ALWAYS | LATER[version]), (admin, ALWAYS | ADMINS | LATER[version] | ADMINS_LATER[version])):
        shown = person.get(f"/volumes/{made['id']}")["volume"]
        assert set(shown) == keys
        assert person.get("/volumes/detail")["volumes"] == [shown]
        renamed = person.put(f"/volumes/{made['id']}", {"volume": {"name": "v"}})["volume"]
        assert {**renamed, "updated_at": None} == {**shown, "updated_at": None}
    assert set(made) == ALWAYS | LATER[version]


def test_the_values_are_those_that_clients_parse(story: Story) -> None:
    admin = story.person("admin")
    volume_id = admin.volume(name="v", description="d", metadata={"k": "v"})
    story.settle()
    shown = admin.get(f"/volumes/{volume_id}")["volume"]
    assert shown["bootable"] == "false"
    assert shown["volume_type"] == "__DEFAULT__"
    assert shown["os-vol-host-attr:host"] == "here@fake#fake"
    assert (shown["encrypted"], shown["multiattach"], shown["shared_targets"], shown["consumes_quota"]) == (False, False, False, True)
    assert len(shown["created_at"]) == len("2026-01-01T00:00:00.000000")
    assert [link["href"].partition("/volumes/")[0] for link in shown["links"]] == [
        "http://falconframework.org/v3/p",
        "http://falconframework.org/p",
    ]
    other = admin.volume()
    story.settle()
    assert admin.get(f"/volumes/{other}")["volume"]["service_uuid"] == shown["service_uuid"], "one backend has one service"


def test_a_short_list_holds_id_name_and_links(story: Story) -> None:
    user = story.person()
    volume_id = user.volume(name="v")
    [short] = user.get("/volumes")["volumes"]
    assert (set(short), short["id"], short["name"]) == ({"id", "name", "links"}, volume_id, "v")


def test_nobody_sees_what_other_projects_have(story: Story) -> None:
    volume_id = story.person().volume()
    stranger, admin = story.person("eve", "q"), story.person("admin", "q")
    path = f"/volumes/{volume_id}"
    for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/metadata"), ("GET", "/encryption")):
        assert "could not be found" in stranger.refused(method, path + below, status=404)
    stranger.put(path, {"volume": {"name": "mine"}}, 404)
    stranger.act(path, "os-extend", {"new_size": 5}, 404)
    assert stranger.get("/volumes")["volumes"] == []
    assert stranger.get("/volumes?all_tenants=1")["volumes"] == [], "all_tenants is for administrators, and no secret to ask for"
    assert admin.get(path)["volume"]["id"] == volume_id
    assert [each["id"] for each in admin.get("/volumes?all_tenants=1")["volumes"]] == [volume_id]
    assert admin.get("/volumes")["volumes"] == []


def test_what_administrators_may_is_forbidden_to_users_on_their_own(story: Story) -> None:
    user = story.person()
    path = f"/volumes/{user.volume()}"
    for action, inner in (("os-reset_status", {"status": "error"}), ("os-force_delete", None)):
        user.act(path, action, inner, 403)
    user.delete(f"{path}?force=true", 403)
    snapshot = f"/snapshots/{_snapshot(story)}"
    for action, inner in (("os-reset_status", {"status": "error"}), ("os-force_delete", None)):
        user.act(snapshot, action, inner, 403)


def _snapshot(story: Story) -> str:
    user = story.person()
    volume_id = user.volume()
    story.settle()
    return user.snapshot(volume_id)

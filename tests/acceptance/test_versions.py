"""Discovery of the service and negotiation of microversions, as any client begins."""

import pytest

from tests.support.blackbox import Endpoint

RANGE = ("3.0", "3.71")


@pytest.mark.parametrize(("suffix", "status"), [("/", 300), ("/v3", 200), ("/v3/", 200)])
def test_the_service_describes_itself_without_a_token(endpoint: Endpoint, suffix: str, status: int) -> None:
    stranger = Endpoint(endpoint.url, "", "")
    reply = stranger.ask("GET", endpoint.url.removesuffix("/v3") + suffix, version=None)
    assert reply.status == status
    (version,) = (found for found in reply.body["versions"] if found["id"] == "v3.0")
    assert (version["status"], version["min_version"], version["version"]) == ("CURRENT", *RANGE)
    assert endpoint.url + "/" in [link["href"] for link in version["links"] if link["rel"] == "self"]


@pytest.mark.parametrize(("asked", "given"), [(None, "3.0"), ("3.0", "3.0"), ("3.27", "3.27"), ("3.71", "3.71"), ("latest", "3.71")])
def test_every_answer_names_its_version(endpoint: Endpoint, asked: str | None, given: str) -> None:
    reply = endpoint.ask("GET", "/volumes", version=asked)
    assert (reply.status, reply.headers["openstack-api-version"]) == (200, f"volume {given}")
    assert "OpenStack-API-Version" in reply.headers["vary"]


@pytest.mark.parametrize(("asked", "status"), [("2.0", 406), ("3.72", 406), ("4.0", 406), ("three", 400), ("3", 400), ("3.x", 400)])
def test_other_versions_are_refused(endpoint: Endpoint, asked: str, status: int) -> None:
    reply = endpoint.ask("GET", "/volumes", version=asked)
    assert reply.status == status
    assert reply.fault[1] == status


def test_the_version_of_another_service_means_nothing(endpoint: Endpoint) -> None:
    header = {"OpenStack-API-Version": "compute 2.90, volume 3.5"}
    assert endpoint.ask("GET", "/volumes", version=None, headers=header).headers["openstack-api-version"] == "volume 3.5"


def test_the_project_may_stand_in_the_path(endpoint: Endpoint) -> None:
    assert endpoint.ask("GET", f"/{endpoint.project}/volumes").status == endpoint.ask("GET", "/volumes").status == 200
    assert endpoint.ask("GET", "/another/volumes").status == 400


def test_a_younger_route_is_not_there_yet(endpoint: Endpoint) -> None:
    assert [endpoint.ask("GET", "/attachments", version=version).status for version in ("3.26", "3.27")] == [404, 200]
    assert endpoint.ask("GET", "/volumes/summary", version="3.11").status == 404

"""One volume's life with real bytes: written through NBD, grown, frozen, cloned, compared and deleted."""

import subprocess
from typing import Any

from tests.support.blackbox import Endpoint

CONNECTOR = {"host": "acceptance", "ip": "127.0.0.1", "platform": "x86_64", "os_type": "linux", "multipath": False}
GIB = 1 << 30


def io(uri: str, *commands: str) -> None:
    """Let qemu-io do it; AssertionError when it cannot, or reads something else than it should."""
    words = ["qemu-io", "-f", "raw", *(word for command in (*commands, "flush") for word in ("-c", command)), uri]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    assert "verification failed" not in done.stdout, done.stdout


class Attached:
    """The volume's address, while it is attached."""

    def __init__(self, endpoint: Endpoint, volume_id: str) -> None:
        self._endpoint, self._volume_id = endpoint, volume_id

    def __enter__(self) -> str:
        body = {"volume_uuid": self._volume_id, "connector": CONNECTOR, "mode": "rw"}
        made: dict[str, Any] = self._endpoint.do("POST", "/attachments", {"attachment": body})["attachment"]
        self._id = made["id"]
        self._endpoint.do("POST", f"/attachments/{self._id}/action", {"os-complete": None})
        assert self._endpoint.settle("volumes", self._volume_id, "in-use")["attachments"][0]["attachment_id"] == self._id
        return str(made["connection_info"]["uri"])

    def __exit__(self, *failure: object) -> None:
        left = self._endpoint.do("DELETE", f"/attachments/{self._id}")
        assert left["attachments"] == []


def create(endpoint: Endpoint, kind: str, **fields: Any) -> str:
    """The id of a new volume or snapshot, when it is available."""
    made = endpoint.do("POST", f"/{kind}", {kind.removesuffix("s"): fields})[kind.removesuffix("s")]
    endpoint.settle(kind, made["id"])
    return str(made["id"])


def delete(endpoint: Endpoint, kind: str, resource_id: str) -> None:
    endpoint.do("DELETE", f"/{kind}/{resource_id}")
    endpoint.gone(kind, resource_id)


def test_a_life(endpoint: Endpoint) -> None:
    before = endpoint.get("/limits")["limits"]["absolute"]
    volume = create(endpoint, "volumes", size=1, name="life")
    with Attached(endpoint, volume) as uri:
        io(uri, "write -P 11 0 1M", "write -P 12 1023M 1M")
        assert endpoint.ask("DELETE", f"/volumes/{volume}").status == 400
        endpoint.do("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}})
        endpoint.settle("volumes", volume, "in-use")
        io(uri, "read -P 11 0 1M", "read -P 12 1023M 1M", "write -P 13 2047M 1M")
        frozen = create(endpoint, "snapshots", volume_id=volume, name="frozen")
        io(uri, "write -P 14 0 1M")
    copy = create(endpoint, "volumes", snapshot_id=frozen, name="copy")
    twin = create(endpoint, "volumes", source_volid=volume, size=3, name="twin")
    with Attached(endpoint, copy) as uri:
        io(uri, "read -P 11 0 1M", "read -P 12 1023M 1M", "read -P 0 1024M 1M", "read -P 13 2047M 1M", "write -P 15 0 1M")
    with Attached(endpoint, twin) as uri:
        io(uri, "read -P 14 0 1M", "read -P 13 2047M 1M", "read -P 0 3071M 1M")
    assert endpoint.ask("DELETE", f"/volumes/{volume}").status == 400
    endpoint.do("POST", f"/volumes/{volume}/action", {"revert": {"snapshot_id": frozen}})
    endpoint.settle("volumes", volume)
    delete(endpoint, "snapshots", frozen)
    with Attached(endpoint, volume) as uri:
        io(uri, "read -P 11 0 1M", "read -P 12 1023M 1M", "read -P 13 2047M 1M")
    delete(endpoint, "volumes", volume)
    with Attached(endpoint, copy) as uri:
        io(uri, "read -P 15 0 1M", "read -P 13 2047M 1M")
    delete(endpoint, "volumes", copy)
    delete(endpoint, "volumes", twin)
    assert endpoint.get("/limits")["limits"]["absolute"] == before


def test_two_writers_are_kept_apart(endpoint: Endpoint) -> None:
    volume = create(endpoint, "volumes", size=1, name="mine")
    with Attached(endpoint, volume):
        second = endpoint.ask("POST", "/attachments", {"attachment": {"volume_uuid": volume, "connector": CONNECTOR | {"host": "other"}}})
        assert second.status == 400
        assert second.fault == ("badRequest", 400)
    delete(endpoint, "volumes", volume)


def test_a_cascade_takes_the_snapshots_along(endpoint: Endpoint) -> None:
    volume = create(endpoint, "volumes", size=1)
    snapshots = [create(endpoint, "snapshots", volume_id=volume, name=f"point-{number}") for number in range(3)]
    endpoint.do("DELETE", f"/volumes/{volume}?cascade=true")
    endpoint.gone("volumes", volume)
    assert [endpoint.ask("GET", f"/snapshots/{snapshot}").status for snapshot in snapshots] == [404] * 3

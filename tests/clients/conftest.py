"""One service for the whole folder, the clients pointed at it, and the rule that every change is confirmed by somebody else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Cinder, Openstack, openstack_command, sdk
from tests.support.commands import COMMANDS
from tests.support.covered import Confirmations
from tests.support.disk import Disk
from tests.support.live import two_backends
from tests.support.service import Service, await_

PROJECT = "demo"
LAST = ("test_left.py", "test_table.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is left is looked at, and the table is counted, when everything else has run."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)


@pytest.fixture(scope="session")
def log() -> Confirmations:
    """What ran, and what is not confirmed yet."""
    return Confirmations(COMMANDS)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service; it must leave nothing behind."""
    with two_backends(tmp_path_factory.mktemp("live")) as service:
        roomy = {"quota_set": {"volumes": 200, "snapshots": 200, "gigabytes": 1000}}
        assert service.ask("PUT", f"/os-quota-sets/{PROJECT}", roomy)[0] == 200
        yield service


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home for the clients."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def command(live: Service, home: Path, log: Confirmations) -> Iterator[Openstack]:
    """The ``openstack`` command."""
    with openstack_command(live.url, PROJECT, home, log) as made:
        yield made


@pytest.fixture(scope="session")
def cinder(live: Service, home: Path, log: Confirmations) -> Cinder:
    """The ``cinder`` command and its library."""
    return Cinder(live.url, PROJECT, home, log)


@pytest.fixture(scope="session")
def cloud(live: Service, log: Confirmations) -> Any:
    """The library openstacksdk."""
    return sdk(live.url, PROJECT, log)


@pytest.fixture(scope="session")
def disk(live: Service, log: Confirmations) -> Disk:
    """The images and daemons of the service."""
    return Disk(live.state, log)


@pytest.fixture(scope="session")
def settled(live: Service) -> Callable[..., dict[str, Any]]:
    """``settled(id, "snapshots")``: wait until no operation runs on a volume or snapshot, and return what the API shows of it."""

    def wait(resource_id: str, kind: str = "volumes") -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def ready() -> bool:
            status, body = live.ask("GET", f"/{kind}/{resource_id}")
            assert status == 200, body
            seen.update(body[kind.removesuffix("s")])
            return not seen["status"].endswith("ing") and seen["status"] != "creating"

        await_(ready, 20, lambda: f"{seen}\n{live.tail()}")
        return seen

    return wait


@pytest.fixture(scope="session")
def gone(live: Service, disk: Disk, log: Confirmations) -> Callable[..., None]:
    """``gone(id, "snapshots")``: wait until the API knows a volume or snapshot no more; no file of it may be left then.

    With ``layers`` frozen layers may be: these wait for the collector, and test_left.py for them.
    """

    def wait(resource_id: str, kind: str = "volumes", *, layers: bool = False) -> None:
        await_(lambda: live.ask("GET", f"/{kind}/{resource_id}")[0] == 404, 20, live.tail)
        log.looked("plain HTTP")
        assert layers or disk.images(resource_id) == []

    return wait


@pytest.fixture(autouse=True)
def _confirmed(log: Confirmations) -> Iterator[None]:
    """No test ends with a change that only its author has seen."""
    log.take()
    yield
    assert log.take() == []

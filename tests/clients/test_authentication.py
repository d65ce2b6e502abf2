"""The stock clients find the service and are who they say: the lines of docs/reference/authentication.md, and discovery."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from cinderclient import client as cinder
from keystoneauth1 import noauth, session
from keystoneauth1.discover import Discover

from breezeblock.api.app import create
from breezeblock.resources import catalogue
from breezeblock.store.engine import Store
from tests.support.api import services
from tests.support.served import served

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "authentication.md"
DOCUMENTED = "http://127.0.0.1:8776"
CONSOLE = [block.strip().splitlines() for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)]
PYTHON = [line for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) for line in block.strip().splitlines()]
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """The shipped application on a database that has just been migrated."""
    with served(create(services(store, registry=catalogue.registry()))) as url:
        yield url


def run(lines: list[str], url: str, home: Path) -> str:
    """Execute the lines of one block as a shell would, and return what they print."""
    bins = str(Path(sys.executable).parent)
    environment = {"PATH": f"{bins}:{os.environ['PATH']}", "HOME": str(home)}
    printed = ""
    for line in lines:
        words = shlex.split(line.removeprefix("$ ").replace(DOCUMENTED, url))
        if words[0] == "export":
            environment |= dict(word.split("=", 1) for word in words[1:])
            continue
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    return printed


@pytest.mark.parametrize("lines", CONSOLE, ids=["admin", "alice", "environment"])
def test_the_documented_lines_work(url: str, tmp_path: Path, lines: list[str]) -> None:
    commands = [line for line in lines if not line.startswith("$ export")]
    assert run(lines, url, tmp_path).count("| __DEFAULT__ ") == len(commands)


@pytest.mark.parametrize("line", PYTHON)
def test_the_documented_connections_work(url: str, line: str) -> None:
    connection: Any = eval(line.replace(DOCUMENTED, url), {"openstack": openstack})
    assert [found.name for found in connection.block_storage.types()] == ["__DEFAULT__"]


@pytest.mark.parametrize(("user", "refused"), [("admin", False), ("alice", True)])
def test_only_the_administrator_sees_services(url: str, user: str, refused: bool) -> None:
    connection = openstack.connect(auth_type="admin_token", auth={"endpoint": f"{url}/v3/demo", "token": f"{user}:demo"})
    if refused:
        with pytest.raises(openstack.exceptions.ForbiddenException):
            list(connection.block_storage.services())
    else:
        assert list(connection.block_storage.services()) == []


@pytest.mark.parametrize("path", ["", "/", "/v3", "/v3/"])
def test_keystoneauth_discovers_the_versions(url: str, path: str) -> None:
    [found] = Discover(session.Session(auth=noauth.NoAuth(endpoint=url)), f"{url}{path}").version_data()
    assert found["version"] == (3, 0)
    assert (found["min_microversion"], found["max_microversion"]) == ((3, 0), (3, 71))
    assert found["url"] == f"{url}/v3/"


@pytest.mark.parametrize("endpoint", ["", "/v3", "/v3/demo"])
def test_openstacksdk_negotiates_the_microversion(url: str, endpoint: str) -> None:
    adapter = openstack.connect(auth_type="none", endpoint=f"{url}{endpoint}").block_storage
    data = adapter.get_endpoint_data()
    assert data is not None
    assert (data.min_microversion, data.max_microversion) == ((3, 0), (3, 71))


def test_cinderclient_finds_the_newest_version(url: str) -> None:
    low, high = cinder.get_server_version(f"{url}/v3/demo")
    assert (low.get_string(), high.get_string()) == ("3.0", "3.71")

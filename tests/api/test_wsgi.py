"""The application under real servers: the standard library's and granian."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

from breezeblock.wsgi import Lazy

ROOT = Path(__file__).resolve().parents[2]
Address = tuple[str, int]
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    """How an operator configures it: by a file and a state directory."""
    file = tmp_path / "breezeblock.conf"
    file.write_text(f"[database]\nconnection = {database}\n[api]\nmax_body = 4096\n")
    state = tmp_path / "state"
    return {"BREEZEBLOCK_CONFIG": str(file), "BREEZEBLOCK_STATE_DIR": str(state)}


class Quiet(WSGIRequestHandler):
    """Without a line per request on standard error."""

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextlib.contextmanager
def wsgiref(environment: dict[str, str]) -> Iterator[Address]:
    """The standard library's server, which also checks that the application keeps the WSGI contract."""
    application: Any = validator(Lazy(environment))
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        thread.join(10)


@contextlib.contextmanager
def granian(environment: dict[str, str]) -> Iterator[Address]:
    """Granian, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-log", "breezeblock.wsgi:application"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)}) as process:
        try:
            until = time.monotonic() + 30
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert process.poll() is None, "granian ended"
                assert time.monotonic() < until, "granian did not listen in time"
                time.sleep(0.05)
            yield "127.0.0.1", port
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(params=[wsgiref, granian], ids=["wsgiref", "granian"])
def address(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Address]:
    """Where the service listens."""
    with request.param(environment) as address:
        yield address


def send(address: Address, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(*address, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        raw = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, json.loads(raw) if found.get("content-type") == "application/json" else raw.decode()


def test_the_contract_under_a_real_server(address: Address) -> None:
    status, headers, document = send(address, "GET", "/")
    assert status == 300
    assert document["versions"][0]["links"][1]["href"] == f"http://127.0.0.1:{address[1]}/v3/"
    assert send(address, "GET", "/healthcheck")[::2] == (503, "no volume worker is live\n")
    missing = "/v3/p1/volumes/6f0c1ac4-0000-4000-8000-000000000000"
    status, headers, fault = send(address, "DELETE", missing, X_Auth_Token="u:p1", OpenStack_API_Version="volume 3.50")
    assert (status, headers["openstack-api-version"]) == (404, "volume 3.50")
    assert fault["itemNotFound"]["code"] == 404
    status, _, fault = send(address, "POST", "/v3/volumes", b'{"volume": {"size": "many"}}', X_Auth_Token="u:p1")
    assert (status, "volume.size" in fault["badRequest"]["message"]) == (400, True)
    status, headers, fault = send(address, "POST", "/v3/volumes", b"x" * 5000)
    assert (status, headers["retry-after"], "overLimit" in fault) == (413, "0", True)


def test_a_body_in_chunks(environment: dict[str, str]) -> None:
    """A client that does not know the length beforehand."""
    with granian(environment) as address:
        status, _, fault = send(address, "POST", "/v3/volumes", iter([b'{"volume": ', b'{"size": "many"}}']))
        assert (status, "volume.size" in str(fault)) == (400, True)
        assert send(address, "POST", "/v3/volumes", iter([b"x" * 3000, b"x" * 3000]))[0] == 413


def test_nothing_happens_at_import(database: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code = "import breezeblock.wsgi, os; print(os.listdir('.'), breezeblock.wsgi.application._made)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=empty, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[] None\n"

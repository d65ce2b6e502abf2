"""Exports outlive ``breezeblock serve``, with real storage daemons; only the operator's command ends them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.interface import Call, Image, Token
from breezeblock.exports.manager import Exports
from breezeblock.exports.values import ExportSettings
from tests.support.service import COMMAND, Service, alive

VOLUME = "4d1a4d0f-2c1c-4a8e-9a4e-0c8b0f1c9a11"


def command(service: Service, *words: str) -> str:
    """What a command on the service's state directory prints."""
    made = subprocess.run(
        [*COMMAND, *words, "--state-dir", str(service.state)], capture_output=True, text=True, timeout=30, env=service.env, check=True
    )
    return made.stdout


@pytest.fixture
def daemon(service: Service, tmp_path: Path) -> Iterator[int]:
    """The pid of a running export in the service's state directory."""
    path = tmp_path / "image"
    path.touch()
    path.open("r+b").truncate(1 << 20)
    exports = Exports(ExportSettings(service.state, (service.state / "host").read_text().strip()))
    exports.ensure(Call("job", {VOLUME: Token(1, 1, 1)}), VOLUME, Image(str(path), "raw", 1 << 20))
    (export,) = exports.list()
    assert export.pid is not None
    yield export.pid
    exports.stop_all()


def test_an_export_goes_on_when_serve_stops_and_ends_by_command(service: Service, daemon: int) -> None:
    assert service.stop() == 0
    assert "1 connected export goes on running" in "\n".join(service.said)
    assert alive(daemon)
    assert f"{VOLUME}  0.000976562 GiB  nbd-rw  running as process {daemon}" in command(service, "exports", "list")
    assert command(service, "exports", "stop") == "1 export has been ended.\n"
    assert not alive(daemon)
    assert "not running" in command(service, "exports", "list")


def test_an_export_goes_on_when_every_process_of_ours_is_killed(service: Service, daemon: int) -> None:
    service.destroy()
    assert alive(daemon)
    service.start()
    assert alive(daemon)
    command(service, "exports", "stop")
    assert not alive(daemon)

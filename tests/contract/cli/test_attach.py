"""``breezeblock attach`` on a real service: a block device that takes a filesystem, and outlives every process of ours."""

import hashlib
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import COMMAND, Service, await_, running

MEMO = os.urandom(1 << 20)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A healthy service whose exports are surely gone afterwards."""
    made = Service(tmp_path / "state")
    with running(made):
        yield made.start()
        breezeblock(made, "exports", "stop", check=False)


def breezeblock(service: Service, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command on the service's state directory."""
    line = [*COMMAND, *words, "--state-dir", str(service.state)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, env=service.env, check=check)


def volume(service: Service, name: str) -> str:
    """A new available volume of 1 GiB."""
    status, body = service.ask("POST", "/volumes", {"volume": {"size": 1, "name": name}})
    assert status == 202, body
    volume_id: str = body["volume"]["id"]
    await_(lambda: status_of(service, volume_id) == "available", 20, service.tail)
    return volume_id


def status_of(service: Service, volume_id: str) -> str:
    return str(service.ask("GET", f"/volumes/{volume_id}")[1]["volume"]["status"])


def write(device: str) -> None:
    with Path(device).open("r+b") as file:
        file.write(MEMO[:4096])
        file.flush()
        os.fsync(file.fileno())


def tool(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    if path.is_mount():
        tool("umount", str(path))


def test_a_filesystem_on_an_attached_volume_survives(service: Service, mountpoint: Path) -> None:
    volume_id = volume(service, "disk")
    device = breezeblock(service, "attach", "disk").stdout.strip()
    assert stat.S_ISBLK(Path(device).stat().st_mode)
    assert status_of(service, volume_id) == "in-use"
    assert breezeblock(service, "attach", volume_id).stdout.strip() == device
    tool("mkfs.ext4", "-q", device)
    tool("mount", device, str(mountpoint))
    (mountpoint / "memo").write_bytes(MEMO)

    busy = breezeblock(service, "detach", "disk", check=False)
    assert busy.returncode == 1
    assert "in use" in busy.stderr
    assert status_of(service, volume_id) == "in-use"

    tool("umount", str(mountpoint))
    breezeblock(service, "detach", "disk")
    await_(lambda: status_of(service, volume_id) == "available", 10, service.tail)
    device = breezeblock(service, "attach", "disk").stdout.strip()
    tool("mount", device, str(mountpoint))
    assert hashlib.sha256((mountpoint / "memo").read_bytes()).digest() == hashlib.sha256(MEMO).digest()
    tool("umount", str(mountpoint))
    breezeblock(service, "detach", volume_id)


def test_a_mounted_volume_goes_on_while_everything_of_ours_is_killed_and_restarted(service: Service, mountpoint: Path) -> None:
    volume_id = volume(service, "disk")
    device = breezeblock(service, "attach", "disk").stdout.strip()
    tool("mkfs.ext4", "-q", device)
    tool("mount", device, str(mountpoint))
    service.signal(signal.SIGKILL)
    service.wait(10)
    (mountpoint / "memo").write_bytes(MEMO)
    tool("sync", "-f", str(mountpoint))
    service.start()
    assert breezeblock(service, "attach", "disk").stdout.strip() == device
    tool("umount", str(mountpoint))
    tool("mount", "-o", "ro", device, str(mountpoint))
    assert (mountpoint / "memo").read_bytes() == MEMO
    tool("umount", str(mountpoint))
    breezeblock(service, "detach", "disk")
    assert status_of(service, volume_id) == "available"


def test_an_attach_that_was_cut_short_is_ended_by_the_next(service: Service) -> None:
    volume_id = volume(service, "disk")
    connector = {"host": (service.state / "host").read_text().strip(), "do_local_attach": True}
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": None, "connector": connector}}
    assert service.ask("POST", "/attachments", body)[0] == 200
    assert status_of(service, volume_id) == "attaching"
    assert stat.S_ISBLK(Path(breezeblock(service, "attach", "disk").stdout.strip()).stat().st_mode)
    assert status_of(service, volume_id) == "in-use"
    breezeblock(service, "detach", "disk")
    assert len(service.ask("GET", "/attachments")[1]["attachments"]) == 0


def test_a_read_only_device_cannot_be_written(service: Service) -> None:
    volume(service, "disk")
    device = breezeblock(service, "attach", "disk", "--read-only").stdout.strip()
    with pytest.raises(OSError, match=r"not permitted|Read-only"):
        write(device)
    breezeblock(service, "detach", "disk")


def test_what_cannot_be_done_is_said(service: Service, tmp_path: Path) -> None:
    unknown = breezeblock(service, "attach", "nothing", check=False)
    assert (unknown.returncode, unknown.stderr) == (1, "Error: Volume nothing could not be found.\n")
    volume(service, "twin")
    volume(service, "twin")
    assert "2 volumes are called twin; give one of their ids" in breezeblock(service, "attach", "twin", check=False).stderr
    volume(service, "loose")
    assert "Volume loose is not attached to this machine" in breezeblock(service, "detach", "loose", check=False).stderr
    elsewhere = Service(tmp_path / "other")
    assert "no service was ever started on this state directory" in breezeblock(elsewhere, "attach", "x", check=False).stderr
    assert service.stop() == 0
    assert f"Nothing answers at {service.url}" in breezeblock(service, "attach", "twin", check=False).stderr

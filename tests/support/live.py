"""One real ``breezeblock serve`` with two file backends for a whole folder of tests, and the proof that it leaves nothing behind."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.service import COMMAND, Service, running

BACKENDS = ("local", "second")
CONFIG = """
[DEFAULT]
enabled_backends = local, second
[backend_defaults]
volume_driver = file
[local]
volume_backend_name = local
[second]
volume_backend_name = second
"""


@contextlib.contextmanager
def two_backends(folder: Path) -> Iterator[Service]:
    """A healthy service below ``folder``. At the end it must stop in order, and no daemon, loop device or mount of it may be left."""
    with running(Service(folder / "state", CONFIG)) as service:
        try:
            yield service.start()
            assert service.stop() == 0, service.tail()
        finally:
            words = [*COMMAND, "exports", "stop", "--state-dir", str(service.state)]
            subprocess.run(words, env=service.env, timeout=60, check=True, stdout=subprocess.DEVNULL)
        assert left_behind(service.state) == []
        assert "Traceback" not in service.log.read_text(), service.log.read_text()


def left_behind(state: Path) -> list[str]:
    """Storage daemons, loop devices and mounts that have to do with the state directory."""
    found = [f"process {pid} for volume {volume_id}" for pid, volume_id in daemons(state).items()]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if str(state) in (text := backing.read_text()):
                found.append(f"{backing}: {text.strip()}")
    return found + [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(state) in line]


def daemons(state: Path) -> dict[int, str]:
    """The storage daemons that run in the state directory: volume id by pid."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().startswith("qemu-storage-da") and (home := (process / "cwd").resolve()).is_relative_to(state):
                found[int(process.name)] = home.name
    return found

"""What stands on this machine because of one directory: mounts, loop devices, storage daemons; and taking all of it away.

Everything is found by the directory, from the kernel's own lists; nothing outside of it is ever touched.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

_SECONDS: Final = 15.0
_GONE_SECONDS: Final = 5.0
"""The kernel may take a moment to let a loop device go."""
_DAEMON: Final = "qemu-storage-daemon"


def mounts(place: Path) -> list[tuple[Path, str]]:
    """The mount points within ``place`` and their filesystems, the newest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if point.is_relative_to(place):
            found.append((point, fields[fields.index("-") + 1]))
    return found[::-1]


def loops(place: Path) -> list[str]:
    """The loop devices over files within ``place``."""
    if shutil.which("losetup") is None:
        return []
    answer = subprocess.run(
        ["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"], capture_output=True, text=True, check=True, timeout=_SECONDS
    ).stdout
    rows = json.loads(answer)["loopdevices"] if answer.strip() else []
    return [row["name"] for row in rows if str(row["back-file"] or "").startswith(f"{place}/")]


def daemons(place: Path) -> list[int]:
    """The pids of storage daemons whose working directory is within ``place``."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                ours = (process / "exe").readlink().name.startswith(_DAEMON) and (process / "cwd").readlink().is_relative_to(place)
                if ours:
                    found.append(int(process.name))
    return found


def sweep(place: Path) -> str:
    """Take all of it away; in words what could not be. The service must have ended: it would bring its daemons back."""
    for point, kind in mounts(place):
        if not kind.startswith("fuse"):
            _try("umount", str(point))
    for device in loops(place):
        _try("losetup", "--detach", device)
    for pid in daemons(place):
        _end(pid)
    for point, _ in mounts(place):
        _try("umount", "--lazy", str(point))
    deadline = time.monotonic() + _GONE_SECONDS
    while (left := _left(place)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return ", ".join(left)


def _left(place: Path) -> list[str]:
    return [*(str(point) for point, _ in mounts(place)), *loops(place), *(f"{_DAEMON} {pid}" for pid in daemons(place))]


def remove(place: Path) -> None:
    """Remove the directory, unless something is still mounted within: its files would be somebody's data."""
    if not mounts(place):
        shutil.rmtree(place, ignore_errors=True)


def _try(*words: str) -> None:
    with contextlib.suppress(subprocess.SubprocessError, OSError):
        subprocess.run(words, capture_output=True, check=False, timeout=_SECONDS)


def _end(pid: int) -> None:
    """End one process, by force when it does not end in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if poll.poll(_SECONDS * 1000):
                return
    finally:
        os.close(descriptor)

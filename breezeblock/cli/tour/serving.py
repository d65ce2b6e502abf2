"""The tour's own ``breezeblock serve``: a real process on a free port and a throw-away state directory; started, killed, looked at."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from breezeblock.cli.attach import Client
from breezeblock.cli.tour.telling import Narrator

START_SECONDS: Final = 30.0
_COMPLAINTS: Final = 12
_SERIOUS: Final = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
CONFIGURATION: Final = """\
[DEFAULT]
enabled_backends = local

[local]
volume_driver = file

[quota]
volumes = 100
snapshots = 100
"""


class Service:
    """One ``serve``; its state directory outlives it."""

    def __init__(self, place: Path, launch: Sequence[str]) -> None:
        self.state = place / "state"
        self.state.mkdir(mode=0o750)
        (self.state / "breezeblock.conf").write_text(CONFIGURATION)
        self.client = Client(f"http://127.0.0.1:{_free_port()}/v3")
        self.log = place / "serve.log"
        self._launch = launch
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, and wait until it is healthy; the seconds that took. TimeoutExpired or CalledProcessError when it is not."""
        began = time.monotonic()
        bind = self.client.endpoint.removeprefix("http://").removesuffix("/v3")
        command = [*self._launch, "serve", "--state-dir", str(self.state), "--bind", bind]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self._healthy():
            if (code := self._process.poll()) is not None:
                raise subprocess.CalledProcessError(code, ["breezeblock serve"], stderr=self.log.read_text()[-500:])
            if time.monotonic() - began > START_SECONDS:
                raise subprocess.TimeoutExpired("breezeblock serve", START_SECONDS)
            time.sleep(0.02)
        return time.monotonic() - began

    def _healthy(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.client.endpoint.removesuffix("/v3") + "/healthcheck", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def family(self) -> list[int]:
        """The pids of the supervisor and of everything that descends from it. Export daemons do not: they belong to init."""
        return _descendants(self._process.pid) if self._process is not None else []

    def kill(self) -> list[int]:
        """Kill everything at once, as kill -9 does; the pids, none of which lives any more."""
        process, family = self._process, self.family
        if process is None:
            return []
        descriptors = []
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                descriptors.append(os.pidfd_open(pid))
        for descriptor in descriptors:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
        process.wait(START_SECONDS)
        self._process = None
        deadline = time.monotonic() + START_SECONDS
        while any(_lives(pid) for pid in family):
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("kill -9", START_SECONDS)
            time.sleep(0.01)
        return family

    def command(self, *words: str) -> str:
        """What a ``breezeblock`` command on the state directory prints; CalledProcessError with its words."""
        return run(*self._launch, *words, "--state-dir", str(self.state)).strip()

    @property
    def complaints(self) -> Sequence[str]:
        """The last warnings and errors of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if _SERIOUS.search(line)][-_COMPLAINTS:]

    def tell(self, narrator: Narrator) -> None:
        """Say what runs."""
        narrator.say(f"Started 'breezeblock serve' at {self.client.endpoint}: {len(self.family)} processes, state in {self.state}.")


def run(*words: str, seconds: float = 60.0) -> str:
    """The output of a program; CalledProcessError with its words, or TimeoutExpired."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=True)
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _descendants(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _descendants(int(child))
    return found

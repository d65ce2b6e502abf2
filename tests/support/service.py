"""A real ``breezeblock serve`` for tests: started, watched, killed, looked into."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = (sys.executable, "-m", "breezeblock")
MIB = 1 << 20


class Service:
    """One ``serve`` on a state directory; ``state`` outlives it."""

    def __init__(self, state: Path, config: str = "", env: Mapping[str, str] | None = None, wrap: Sequence[str] = ()) -> None:
        """``wrap`` is put before the command; it must exec it."""
        self.state = state
        self.config = config
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "*", **(env or {})}
        self.wrap = wrap
        self.log = state.with_name(f"{state.name}.log")
        self.url = ""
        self.said: list[str] = []
        """What it told the person at the terminal, line by line."""
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._family: set[int] = set()

    def start(self, *, healthy: float | None = 20.0, command: Sequence[str] = (*COMMAND, "serve"), cwd: Path | None = None) -> "Service":
        """Start it and wait for its greeting, and unless ``healthy`` is None, at most so many seconds until it is."""
        words = [*self.wrap, *command, "--state-dir", str(self.state), "--bind", "127.0.0.1:0"]
        if self.config:
            file = self.state.with_name(f"{self.state.name}.conf")
            file.write_text(self.config)
            words += ["--config", str(file)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, bufsize=0, env=self.env, cwd=cwd or self.state.parent
            )
        greeting = self.hear(re.compile(r"Breezeblock answers at (http://\S+)"), 20)
        self.url = greeting[1]
        if healthy is not None:
            await_(lambda: self.health() == 200, healthy, self.tail)
        return self

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def hear(self, wanted: re.Pattern[str], seconds: float) -> re.Match[str]:
        """Read what it says until a line matches."""
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                self._unread = rest
                self.said.append(line.decode())
                if match := wanted.search(self.said[-1]):
                    return match
                continue
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
            if not (data := os.read(self._process.stdout.fileno(), 65536)):
                break
            self._unread += data
        raise AssertionError(f"it did not say {wanted.pattern!r} but {self.said}; its log ends:\n{self.tail()}")

    def ask(self, method: str, path: str, body: Any = None, version: str = "3.71", timeout: float = 10.0) -> tuple[int, Any]:
        """Status and decoded body of a request below /v3, as the administrator."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "OpenStack-API-Version": f"volume {version}", "X-Auth-Token": "admin:admin"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read()
        return status, json.loads(text) if text else None

    def health(self) -> int | None:
        """The status of /healthcheck; None when nobody answers."""
        try:
            with urllib.request.urlopen(self.url.removesuffix("/v3") + "/healthcheck", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return None

    def roles(self) -> dict[str, int]:
        """The children that run now: pid by name."""
        found = {name: int(pid) for name, pid in re.findall(r" (\S+) runs as process (\d+)", self.log.read_text())}
        return {name: pid for name, pid in found.items() if alive(pid)}

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        self._family.update(tree(self.pid))
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Wait for its end; the exit code. What it still says is added to ``said``."""
        assert self._process is not None
        code = self._process.wait(seconds)
        assert self._process.stdout is not None
        # Should a process be left, it has the pipe open too: its end must not be waited for.
        os.set_blocking(self._process.stdout.fileno(), False)
        self.said += (self._unread + (self._process.stdout.read() or b"")).decode().splitlines()
        self._unread = b""
        self._process.stdout.close()
        self._process = None
        return code

    def stop(self, seconds: float = 20.0) -> int:
        """End it in order; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def destroy(self) -> None:
        """Kill it and whatever should have ended with it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.wait(10)
        for pid in filter(alive, self._family):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """A service that is surely gone afterwards."""
    try:
        yield service
    finally:
        service.destroy()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A healthy service on a new state directory."""
    with running(Service(tmp_path / "state")) as made:
        yield made.start()


def await_(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = str, every: float = 0.01) -> None:
    """Wait until ``condition`` holds, looking ``every`` so many seconds; AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(every)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def pss(pid: int) -> int:
    """Bytes of memory of one process, its share of what it shares."""
    line = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert line is not None
    return int(line[1]) * 1024

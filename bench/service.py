"""Starts this service for a measurement: the fake driver, one API with two processes, on the database of a URL."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (sys.executable, "-m", "breezeblock")
CONFIG = """
[DEFAULT]
enabled_backends = fake

[database]
connection = {url}

[quota]
volumes = -1
snapshots = -1
gigabytes = -1

[worker]
slots_normal = {slots}

[fake]
volume_driver = fake
fake_path = {fake_path}
fake_latency_seconds = {latency}
"""


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    base: str
    """http://HOST:PORT/v3/PROJECT."""
    process: subprocess.Popen[bytes]
    config: Path
    state: Path
    first_answer_s: float
    first_volume_s: float


@contextlib.contextmanager
def service(url: str, state: Path, port: int, *, latency: float = 0.0, slots: int = 8) -> Iterator[Running]:
    """Start it, wait for its first answer and first volume, stop it by its pid at the end. ``latency``: of a driver call, in seconds."""
    state.mkdir(parents=True, exist_ok=True)
    config = state / "bench.conf"
    config.write_text(
        CONFIG.format(url=url, fake_path=state / "fake.sqlite" if latency else "", latency=latency, slots=slots), encoding="utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "breezeblock",
        "serve",
        "--state-dir",
        str(state),
        "--bind",
        f"127.0.0.1:{port}",
        "--config",
        str(config),
    ]
    started = time.perf_counter()
    with (state / "service.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        base = f"http://127.0.0.1:{port}/v3/bench"
        first_answer = _until_answer(base, started, process)
        first_volume = _until_volume(base, started)
        yield Running(base, process, config, state, first_answer, first_volume)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def second_worker(running: Running, wrap: Sequence[str] = ()) -> Iterator[int]:
    """One more worker of the same backend; yields its pid. ``wrap`` is put before the command."""
    command = [
        *wrap,
        *PROGRAM,
        "worker",
        "--state-dir",
        str(running.state),
        "--config",
        str(running.config),
        "--role",
        "volume",
    ]
    with (running.state / "second.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        process.wait(30)


def _until_answer(base: str, started: float, process: subprocess.Popen[bytes]) -> float:
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the service ended with {process.returncode}; see its service.log")
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{base}/volumes?limit=1", timeout=5):
            return round(time.perf_counter() - started, 2)
        time.sleep(0.01)


def _until_volume(base: str, started: float) -> float:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"volume": {"size": 1, "name": "first"}}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{base}/volumes", data=body, headers=headers), timeout=30) as answer:
        volume_id = json.load(answer)["volume"]["id"]
    while True:
        with urllib.request.urlopen(f"{base}/volumes/{volume_id}", timeout=30) as answer:
            if json.load(answer)["volume"]["status"] == "available":
                return round(time.perf_counter() - started, 2)
        time.sleep(0.01)

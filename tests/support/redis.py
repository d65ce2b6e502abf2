"""A real Redis server for one test, which ends with the test or with the run."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers import free_port

_START_SECONDS = 10.0


class Redis:
    """One server without persistence on a port of 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.pid = 0
        self._keeper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        command += ["--logfile", str(self.directory / "log")]
        keeper = [
            sys.executable,
            str(Path(__file__).with_name("keeper.py")),
            str(os.getpid()),
            str(self.directory),
            str(int(signal.SIGKILL)),
        ]
        with (self.directory / "keeper.log").open("ab") as log:
            self._keeper = subprocess.Popen([*keeper, "", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert self._keeper.stdout is not None
        with self._keeper.stdout as out:
            self.pid = int(out.readline())
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once; everything in it is lost."""
        if self._keeper is not None:
            self._keeper.terminate()
            self._keeper.wait(20)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[Redis]:
    """A running server."""
    server = Redis(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()

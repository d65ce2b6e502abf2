"""A small client of the QEMU Machine Protocol: one command at a time, every wait bounded.

A daemon serves one such client at a time, so a connection is opened within the volume's gate and
closed before it is left.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from breezeblock import errors

COMMAND_SECONDS = 15.0


def listen(directory: Path, name: str) -> socket.socket:
    """A listening socket at ``directory/name``, however long that path is; replaces a stale one."""
    with _inside(directory, name) as address:
        (directory / name).unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.bind(address)
            server.listen(4)
        except BaseException:
            server.close()
            raise
        return server


class Qmp:
    """A connection to a daemon, ready for commands.

    Raises DaemonSilent when the daemon is gone or too slow, DaemonRefused when it says no.
    """

    def __init__(self, directory: Path, name: str) -> None:
        """Connect to ``directory/name``; a daemon that is still starting is waited for."""
        self._buffer = b""
        self._events: list[Mapping[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _inside(directory, name) as address:
                self._socket.settimeout(COMMAND_SECONDS)
                self._socket.connect(address)
            deadline = time.monotonic() + COMMAND_SECONDS
            self._read(deadline)
            self.execute("qmp_capabilities")
        except OSError as problem:
            self._socket.close()
            raise errors.DaemonSilent(reason=str(problem)) from problem
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the next client in."""
        self._socket.close()

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """The answer to one command."""
        deadline = time.monotonic() + COMMAND_SECONDS
        try:
            self._socket.settimeout(COMMAND_SECONDS)
            self._socket.sendall(json.dumps({"execute": command, "arguments": dict(arguments or {})}).encode() + b"\n")
        except OSError as problem:
            raise errors.DaemonSilent(reason=f"{command}: {problem}") from problem
        while True:
            message = self._read(deadline)
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise errors.DaemonRefused(command=command, reason=message["error"]["desc"])
            else:
                return message["return"]

    def wait(self, event: str, data: Mapping[str, Any]) -> None:
        """Return when ``event`` with at least ``data`` has come, perhaps while a command ran."""
        deadline = time.monotonic() + COMMAND_SECONDS
        while True:
            for known in self._events:
                if known["event"] == event and data.items() <= known.get("data", {}).items():
                    self._events.remove(known)
                    return
            message = self._read(deadline)
            if "event" in message:
                self._events.append(message)

    def _read(self, deadline: float) -> Mapping[str, Any]:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.DaemonSilent(reason="it took too long")
            self._socket.settimeout(left)
            try:
                received = self._socket.recv(65536)
            except TimeoutError as problem:
                raise errors.DaemonSilent(reason="it took too long") from problem
            except OSError as problem:
                raise errors.DaemonSilent(reason=str(problem)) from problem
            if not received:
                raise errors.DaemonSilent(reason="it closed the connection")
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: Mapping[str, Any] = json.loads(line)
        return message


@contextmanager
def _inside(directory: Path, name: str) -> Iterator[str]:
    """A short name for ``directory/name``, valid in this process while the context lasts."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)

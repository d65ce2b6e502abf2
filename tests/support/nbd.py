"""A small NBD client, so that tests see each reply, each break and each new handshake with their own eyes.

It speaks the fixed newstyle handshake with NBD_OPT_GO and simple replies (the NBD project's proto.md).
"""

import contextlib
import socket
import struct
import time
from typing import Self

_OPTION_MAGIC = 0x49484156454F5054
_OPTION_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_GO, _ACK, _INFO, _INFO_EXPORT = 7, 1, 3, 0
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
READ_ONLY = 1 << 1
"""A transmission flag."""


class Broken(Exception):
    """The connection is gone, or there is no such export at present."""


class Client:
    """One connection. ``size`` and ``flags`` are what the server said in the handshake."""

    def __init__(self, address: str | tuple[str, int], export: str, *, seconds: float = 10.0) -> None:
        """``address`` is a UNIX socket's path, or host and port. Raises Broken."""
        self._socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self._socket.settimeout(seconds)
        self._next = 0
        try:
            self._socket.connect(address)
            self.size, self.flags = self._handshake(export.encode())
        except (OSError, Broken) as problem:
            self._socket.close()
            raise Broken(str(problem)) from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``."""
        self._request(_READ, offset, length)
        return self._receive(length)

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset``; returns when the server has acknowledged it."""
        self._request(_WRITE, offset, len(data), data)

    def flush(self) -> None:
        """Make what was acknowledged durable."""
        self._request(_FLUSH, 0, 0)

    def close(self) -> None:
        """Say good-bye and hang up."""
        with contextlib.suppress(OSError):
            self._socket.sendall(struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()

    def _handshake(self, export: bytes) -> tuple[int, int]:
        magic, options, _flags = struct.unpack(">8sQH", self._receive(18))
        assert (magic, options) == (b"NBDMAGIC", _OPTION_MAGIC)
        body = struct.pack(">I", len(export)) + export + struct.pack(">H", 0)
        self._socket.sendall(struct.pack(">I", 1) + struct.pack(">QII", _OPTION_MAGIC, _GO, len(body)) + body)
        size, flags = 0, 0
        while True:
            magic, _option, kind, length = struct.unpack(">QIII", self._receive(20))
            assert magic == _OPTION_REPLY_MAGIC
            payload = self._receive(length)
            if kind == _ACK:
                return size, flags
            if kind == _INFO and struct.unpack(">H", payload[:2])[0] == _INFO_EXPORT:
                size, flags = struct.unpack(">QH", payload[2:12])
            elif kind != _INFO:
                raise Broken(payload.decode(errors="replace") or f"option reply {kind:#x}")

    def _request(self, kind: int, offset: int, length: int, data: bytes = b"") -> None:
        self._next += 1
        try:
            self._socket.sendall(struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, kind, self._next, offset, length) + data)
            magic, error, handle = struct.unpack(">IIQ", self._receive(16))
        except OSError as problem:
            raise Broken(str(problem)) from problem
        assert (magic, handle) == (_REPLY_MAGIC, self._next)
        if error:
            raise OSError(error, f"NBD command {kind} failed")

    def _receive(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            try:
                part = self._socket.recv(length - len(received))
            except OSError as problem:
                raise Broken(str(problem)) from problem
            if not part:
                raise Broken("the server hung up")
            received += part
        return received


def reconnected(address: str | tuple[str, int], export: str, *, seconds: float = 10.0) -> Client:
    """A new connection, tried again until it is there or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Client(address, export)
        except Broken:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)

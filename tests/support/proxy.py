"""A TCP proxy between a client and its database that can lose messages at a chosen instant, and counts round trips."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards every connection to ``port``. One thread, no copies kept.

    ``cut_before(b"COMMIT")``: the next client message that holds the bytes is not delivered, and the connection breaks.
    ``cut_after(b"COMMIT")``: it is delivered, the server answers it, and that answer is not delivered.
    ``hold(b"COMMIT")``: the client's connection breaks, and the server gets the message only at :meth:`release`.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._muted: set[socket.socket] = set()
        self._before: list[bytes] = []
        self._after: list[bytes] = []
        self._hold: list[bytes] = []
        self._held: list[tuple[socket.socket, bytes]] = []
        self._last: dict[socket.socket, bool] = {}
        self.round_trips = 0
        """How often the direction turned from the client to the server."""
        self.cuts = 0
        self.accepted = 0
        """Connections so far."""
        self.refuse = False
        """Whether new connections are closed at once."""
        self.stall = False
        """Whether everything that is said is kept back, with all connections open."""
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._wake.send(b"x")
        self._thread.join(10)
        self.release()
        for one in (*self._peers, self._listener, self._wake, self._woken):
            one.close()
        self._selector.close()

    def url(self, url: str) -> str:
        """``url`` with the proxy in place of the server."""
        return url.replace(f":{self._target}/", f":{self.port}/")

    def cut_before(self, *texts: bytes) -> None:
        """Lose the next client messages that hold these texts, each once."""
        self._before += texts

    def cut_after(self, *texts: bytes) -> None:
        """Lose the server's answers to the next client messages that hold these texts, each once."""
        self._after += texts

    def break_all(self) -> None:
        """Break every connection that is open now."""
        for one in list(self._peers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def hold(self, *texts: bytes) -> None:
        """Keep the next client messages that hold these texts on their way, each once, while their clients are cut off."""
        self._hold += texts

    def release(self) -> None:
        """Deliver what was held, and let go of the servers' sides."""
        for server, data in self._held:
            with contextlib.suppress(OSError):
                server.sendall(data)
                server.close()
        self._held.clear()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                    self._forward(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            if self.refuse:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        self._clients.add(client)
        self.accepted += 1
        for one, peer in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = peer
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        target = self._peers[source]
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(1 << 16)
        if not data or source in self._muted:
            self._close(source, target)
            return
        if self.stall:
            return
        if source in self._clients:
            if self._first(self._hold, data):
                self._held.append((target, data))
                self._peers.pop(target, None)
                self._selector.unregister(target)
                self._close(source)
                return
            if self._first(self._before, data):
                self._close(source, target)
                return
            if self._first(self._after, data):
                self._muted.add(target)
            if not self._last.get(source):
                self.round_trips += 1
            self._last[source] = True
        else:
            self._last[target] = False
        try:
            target.sendall(data)
        except OSError:
            self._close(source, target)

    def _first(self, texts: list[bytes], data: bytes) -> bool:
        for text in texts:
            if text in data:
                texts.remove(text)
                self.cuts += 1
                return True
        return False

    def _close(self, *pair: socket.socket) -> None:
        for one in pair:
            self._peers.pop(one, None)
            self._clients.discard(one)
            self._muted.discard(one)
            self._last.pop(one, None)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()

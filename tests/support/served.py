"""An application behind a real socket, for clients that speak HTTP."""

import contextlib
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per connection, so that a waiting request does not hold up others."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Without a line per request on standard error."""

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextlib.contextmanager
def served(application: Any) -> Iterator[str]:
    """The URL at which ``application`` is served, on a free port of the loopback address."""
    with make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)

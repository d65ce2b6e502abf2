"""``breezeblock.wsgi:application``, for any WSGI server: granian, gunicorn, uWSGI, mod_wsgi.

It is configured by the environment: ``BREEZEBLOCK_CONFIG`` names configuration files, separated as in PATH, and
``BREEZEBLOCK_STATE_DIR`` the state directory. Nothing happens at import: the application is made by the first
request of each process, so that a server may fork first. The database must have been migrated before.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from breezeblock.api.app import create
from breezeblock.api.assemble import services
from breezeblock.config.load import load
from breezeblock.core.wake import Waker
from breezeblock.store.connect import open_notifier

WSGIApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Lazy:
    """A WSGI application that is made when it is first called."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._made: WSGIApplication | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        made = self._made or self._make()
        return made(environ, start_response)

    def _make(self) -> WSGIApplication:
        with self._lock:
            if self._made is None:
                files = [Path(name) for name in self._environment.get("BREEZEBLOCK_CONFIG", "").split(os.pathsep) if name]
                state = self._environment.get("BREEZEBLOCK_STATE_DIR")
                settings = load(files, lambda _: (), state_path=Path(state) if state else None)
                name = f"wsgi-{os.getpid()}"
                made = services(settings, name)
                made.store.waker = Waker(settings.state_path, open_notifier(settings, name)).wake
                self._made = create(made)
            return self._made


application = Lazy()

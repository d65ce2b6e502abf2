"""The API process: granian, whose workers are forked from here and answer requests with a WSGI application.

The listening sockets are the workers' own (SO_REUSEPORT). A worker that dies is replaced by granian;
when that happens in a loop granian ends, and the supervisor decides.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from breezeblock.cli.supervisor import Announce
from breezeblock.config import Settings, address_of
from breezeblock.core.processes import die_with

STOP_SECONDS = 3
"""A worker may end its requests so long after SIGTERM."""
_LOGGERS = {"_granian": {"handlers": [], "propagate": True}, "granian.access": {"handlers": [], "propagate": False}}
"""Their lines go where ours go."""

BuildApplication = Callable[[Settings], Callable[..., Any]]
"""Makes the WSGI application, with connections of its own, in the process that uses it."""


def serve(settings: Settings, build: BuildApplication, announce: Announce) -> int:
    """Answer requests until SIGTERM; each worker announces that it can."""
    host, port = address_of(settings.api.bind)
    parent = os.getpid()

    def load(_target: str) -> Callable[..., Any]:
        """Runs in each worker. Until granian sets its handler there, SIGTERM must not go to the one inherited from the parent."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with(parent)
        application = build(settings)
        announce()
        return application

    server = MPServer(
        "breezeblock",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=settings.api.workers,
        blocking_threads=settings.api.threads,
        backlog=settings.api.backlog,
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {}, "loggers": _LOGGERS},
    )
    server.serve(target_loader=load)
    return 0

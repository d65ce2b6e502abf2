"""``breezeblock serve``: everything on one machine, under one supervisor.

This process reads the configuration, has the database brought up to date by a child, imports the code
meanwhile, and then only supervises: it never opens the database itself.
"""

import dataclasses
import errno
import gc
import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from breezeblock import logs
from breezeblock.cli import statedir
from breezeblock.cli.supervisor import Announce, Child, Supervisor
from breezeblock.config import Settings, address_of
from breezeblock.core import wake
from breezeblock.core.processes import die_with
from breezeblock.errors import BadConfiguration, Error

API_GRACE: Final = 4.0
WORKER_GRACE: Final = 8.0
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the processes run. Importing it is the expensive part of a start, so it comes as functions that import."""

    migrate: Callable[[Settings], None]
    """Brings the database to the newest schema."""
    load: Callable[[Settings], None]
    """Imports whatever the children need, opening nothing, so that they share it."""
    api: Callable[[Settings, Announce], int]
    worker: Callable[[Settings, str, tuple[str, ...]], int]
    """``worker(settings, role, backends)``: role ``scheduler`` or ``volume``."""
    exports: Callable[[Settings], int]
    """How many exports run on this host."""


def run(settings: Settings, parts: Parts, say: Callable[[str], None]) -> int:
    """Serve until told to stop; the exit code. ``say`` tells the person at the terminal."""
    settings = _with_port(settings)
    lock = statedir.claim(settings.state_path, endpoint(settings))
    try:
        migration = _in_child("db", settings, partial(_migrate, parts, settings))
        try:
            parts.load(settings)
        finally:
            code = _ended(migration)
        if code != 0:
            say("The database could not be brought up to date; the reason stands above.")
            return code
        wake.sweep(settings.state_path)
        greeted: list[str] = []

        def ready(name: str) -> None:
            if name == "api" and not greeted:
                greeted.append(name)
                say(greeting(settings))

        # What exists now is shared by all children; the collector must not write into it.
        gc.collect()
        gc.freeze()
        code = Supervisor(children(settings, parts), ready=ready).run()
        say(farewell(settings, parts.exports(settings)))
        return code
    finally:
        os.close(lock)


def children(settings: Settings, parts: Parts) -> Sequence[Child]:
    """The processes of one node: the API ends first, so that nobody is promised what no worker is left to do."""

    def child(name: str, stage: int, grace: float, run: Callable[[Announce], int]) -> Child:
        def logged(announce: Announce) -> int:
            _log_as(name, settings)
            return run(announce)

        return Child(name, logged, stage, grace)

    def worker(name: str, role: str, backends: tuple[str, ...]) -> Child:
        return child(name, 1, WORKER_GRACE, lambda _: parts.worker(settings, role, backends))

    return [
        child("api", 0, API_GRACE, partial(parts.api, settings)),
        worker("scheduler", "scheduler", ()),
        *(worker(f"volume:{backend.name}", "volume", (backend.name,)) for backend in settings.backends),
    ]


def endpoint(settings: Settings) -> str:
    """The URL to give to clients on this machine."""
    if settings.api.public_endpoint:
        return settings.api.public_endpoint.rstrip("/") + "/v3"
    host, port = address_of(settings.api.bind)
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- a wildcard is no address to connect to
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/v3"


def greeting(settings: Settings) -> str:
    """What a person needs to begin, to be copied into a shell."""
    backends = ", ".join(f"{backend.name} ({backend.driver})" for backend in settings.backends)
    url = endpoint(settings)
    return "\n".join(
        (
            f"Breezeblock answers at {url}",
            f"  state:    {settings.state_path} (all of it; nothing is written elsewhere)",
            f"  backends: {backends}",
            "",
            "In another terminal, for the openstack client:",
            f"  export OS_AUTH_TYPE=none OS_ENDPOINT={url}",
            "  openstack volume create --size 1 first",
            "  openstack volume list",
            "",
            "or for the cinder client:",
            f"  export OS_AUTH_TYPE=noauth CINDER_ENDPOINT={url} OS_USER_ID=admin OS_PROJECT_ID=default",
            "  cinder list",
            "",
            "Ctrl-C stops it.",
        )
    )


def farewell(settings: Settings, exports: int) -> str:
    """What is left running."""
    if exports == 0:
        return "Breezeblock has stopped. No export was running."
    noun = "export goes" if exports == 1 else "exports go"
    return (
        f"Breezeblock has stopped. {exports} connected {noun} on running, so that no client loses its disk;\n"
        f"'breezeblock exports stop --state-dir {shlex.quote(str(settings.state_path))}' ends them."
    )


def _with_port(settings: Settings) -> Settings:
    """The settings with a port that is free now, instead of port 0; BadConfiguration when nobody can listen at ``bind``.

    The API's own sockets share their port (SO_REUSEPORT), so a second service on it would not be noticed later.
    """
    host, port = address_of(settings.api.bind)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            chosen = probe.getsockname()[1]
    except OSError as error:
        hint = "; something else listens there" if error.errno == errno.EADDRINUSE else ""
        raise BadConfiguration(reason=f"bind = {settings.api.bind}: {error.strerror}{hint}") from error
    bind = f"{settings.api.bind.rpartition(':')[0]}:{chosen}"
    return dataclasses.replace(settings, api=dataclasses.replace(settings.api, bind=bind))


def _migrate(parts: Parts, settings: Settings) -> int:
    try:
        parts.migrate(settings)
    except Error as error:
        _log.error("%s", error)
        return 1
    return 0


def _in_child(role: str, settings: Settings, work: Callable[[], int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            die_with(parent)
            _log_as(role, settings)
            code = work()
        except BaseException:  # noqa: BLE001 -- the process ends here, and says why
            _log.exception("failed")
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _log_as(role: str, settings: Settings) -> None:
    logs.set_up(role, sys.stderr, debug=settings.debug, log_format=settings.log_format)

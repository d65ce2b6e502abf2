"""What the commands are composed of: the settings, and the shipped parts of :class:`breezeblock.cli.serve.Parts`."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from oslo_config import cfg

from breezeblock import logs
from breezeblock.cli.serve import Parts
from breezeblock.cli.supervisor import Announce
from breezeblock.config import Settings
from breezeblock.config.load import load
from breezeblock.drivers.registry import driver_class

CONFIG_NAME: Final = "breezeblock.conf"
SYSTEM_CONFIG: Final = Path("/etc/breezeblock", CONFIG_NAME)


def settings(files: Sequence[Path], state_dir: Path | None, bind: str | None) -> Settings:
    """Read the configuration, and set up this process's log; what nobody reads is logged as a warning.

    Without ``files`` it is the state directory's own file, or else the system's, where there is one.
    """
    if not files:
        places = [state_dir / CONFIG_NAME] if state_dir else []
        files = [place for place in [*places, SYSTEM_CONFIG] if place.exists()][:1]
    found = load(files, driver_options, state_path=state_dir, bind=bind)
    log_as("breezeblock", found)
    for warning in found.warnings:
        logging.getLogger("breezeblock.config").warning("%s", warning)
    return found


def driver_options(name: str) -> Sequence[cfg.Opt]:
    """The options that the driver of this name declares; BadConfiguration when there is none."""
    return driver_class(name).options


def log_as(role: str, settings: Settings) -> None:
    """Send this process's log to standard error, under this role."""
    logs.set_up(role, sys.stderr, debug=settings.debug, log_format=settings.log_format)


def parts() -> Parts:
    """The shipped parts."""
    return Parts(migrate=_migrate, load=_load, api=_api, worker=_worker, exports=_exports)


def _migrate(settings: Settings) -> None:
    from breezeblock.store.schema import migrate

    migrate(settings.database.connection)


def _load(settings: Settings) -> None:
    """Import what the children run, and make the API's services once, unconnected.

    That imports the database's driver, lets oslo.policy search for plug-ins (a quarter of a second), and refuses an unusable policy file.
    """
    for name in ("breezeblock.api.app", "breezeblock.api.assemble", "breezeblock.cli.api_server", "breezeblock.worker.main"):
        importlib.import_module(name)
    for backend in settings.backends:
        driver_class(backend.driver)

    from breezeblock.api import assemble

    assemble.services(settings, "import").store.dispose()


def _api(settings: Settings, announce: Announce) -> int:
    from breezeblock.cli import api_server

    return api_server.serve(settings, _application, announce)


def _application(settings: Settings) -> Callable[..., Any]:
    """The WSGI application with connections of its own; made in the process that uses it."""
    from breezeblock.api import app, assemble
    from breezeblock.core.wake import Waker
    from breezeblock.store.connect import open_notifier

    name = f"api-{os.getpid()}"
    services = assemble.services(settings, name)
    services.store.waker = Waker(settings.state_path, open_notifier(settings, name)).wake
    return app.create(services)


def _worker(settings: Settings, role: str, backends: tuple[str, ...]) -> int:
    from breezeblock.worker import main

    return main.run(settings, role, backends)


def _exports(settings: Settings) -> int:
    from breezeblock.cli import exports

    return sum(export.running for export in exports.manager(settings).list())

"""File backends for tests: a driver upon a directory, set up."""

from pathlib import Path
from typing import Any

from breezeblock.drivers.file import FileDriver
from breezeblock.drivers.interface import DriverContext, LiveImages
from tests.support.live_images import NothingLive


def file_driver(path: Path, live: LiveImages | None = None, **options: Any) -> FileDriver:
    """A new driver, as another process would have it, of the backend in ``path``."""
    driver = FileDriver(DriverContext("files", {"file_path": str(path), **options}, live or NothingLive()))
    driver.setup()
    return driver

"""Finds drivers by name: those of ours, and those that other packages declare as entry points of ``breezeblock.drivers``.

A driver is imported only when a backend asks for it.
"""

import importlib.metadata
from collections.abc import Mapping
from typing import cast

from breezeblock import errors
from breezeblock.drivers.interface import DriverContext, VolumeDriver

GROUP = "breezeblock.drivers"
BUILT_IN: Mapping[str, str] = {
    "fake": "breezeblock.drivers.fake:FakeDriver",
    "file": "breezeblock.drivers.file:FileDriver",
}
"""Known also where the package was not installed (a source tree on the path)."""


def available() -> Mapping[str, importlib.metadata.EntryPoint]:
    """All drivers by name. Another package cannot replace one of ours; two packages with one name are BadConfiguration."""
    found = {name: importlib.metadata.EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    for point in importlib.metadata.entry_points(group=GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value and point.name not in BUILT_IN:
            raise errors.BadConfiguration(reason=f"two packages declare a driver {point.name!r}: {known.value} and {point.value}")
    return found


def driver_class(name: str) -> type[VolumeDriver]:
    """The class of the driver called ``name``; BadConfiguration names the known ones, or what its import lacks."""
    point = available().get(name)
    if point is None:
        raise errors.BadConfiguration(reason=f"volume_driver {name!r} is unknown; known are {', '.join(sorted(available()))}")
    try:
        return cast(type[VolumeDriver], point.load())
    except (ImportError, AttributeError) as problem:
        raise errors.BadConfiguration(reason=f"volume_driver {name!r} ({point.value}) cannot be loaded: {problem}") from problem


def build(name: str, context: DriverContext) -> VolumeDriver:
    """A new driver of that name; its ``setup`` is the caller's to call."""
    return driver_class(name)(context)

"""What the exports' callers hand in and get, and the form in which the exports table stores it. Pure."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from breezeblock import errors
from breezeblock.drivers.interface import Image
from breezeblock.exports.record import Address, Record

PARAMETERS_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class ExportSettings:
    """Where exports are kept and how they are reached."""

    state_dir: Path
    host: str
    nbd_address: str | None = None
    """An IP address of this host to serve NBD at by TCP; None: by UNIX sockets."""
    nbd_ports: range = range(10809, 11833)


ImageSource = Callable[[], Image]
"""Asks the driver which image a volume's data are in now.

It is asked while the daemon's lock is held: before that, a late job of the driver may still switch the volume to another layer.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class ExportRow:
    """What a rebuild needs of a row of the exports table."""

    volume_id: str
    host: str
    boot_id: str
    generation: int
    parameters: Mapping[str, Any]
    image: ImageSource


@dataclasses.dataclass(frozen=True, slots=True)
class Export:
    """One volume that this host exports, or should."""

    volume_id: str
    running: bool
    services: tuple[str, ...]
    path: str
    size_bytes: int
    pid: int | None
    boot_id: str


def parameters(known: Record) -> Mapping[str, Any]:
    """What the exports table stores of a volume's export: JSON, without secrets."""
    return {"version": PARAMETERS_VERSION, "services": list(known.services), "address": msgspec.to_builtins(known.address)}


def from_parameters(stored: Mapping[str, Any]) -> tuple[tuple[str, ...], Address | None]:
    """Services and address of :func:`parameters`; DriverError for a version that this program does not know."""
    if stored.get("version") != PARAMETERS_VERSION:
        raise errors.DriverError(reason=f"export parameters of version {stored.get('version')} are unknown to this program")
    address = stored["address"]
    return tuple(stored["services"]), msgspec.convert(address, Address) if address else None

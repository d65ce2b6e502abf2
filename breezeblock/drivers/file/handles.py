"""What the file driver has the database remember of a volume or a snapshot, and how it reads it back.

A handle carries the names of the whole chain, top first, so that what is referenced can be told
from handles alone. Names are checked when they are read: nothing but a name that this driver made
ever becomes a path.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, cast

from breezeblock import errors
from breezeblock.drivers.interface import Handle, parse_object_name

Format = Literal["raw", "qcow2"]
Kind = Literal["volume", "snapshot"]
LONGEST_CHAIN = 40
"""Names of about 80 bytes; a handle has to stay under 4 kB."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A volume or snapshot of this backend."""

    kind: Kind
    format: Format
    size_gib: int
    files: tuple[str, ...]
    """Top first, each lying upon the next."""

    @property
    def top(self) -> str:
        """The name of the file that is opened."""
        return self.files[0]

    def handle(self) -> Handle:
        """What the database keeps."""
        return {"kind": self.kind, "format": self.format, "size_gib": self.size_gib, "files": list(self.files)}


def stored(handle: Handle) -> Stored:
    """Read a handle; DriverError for one that is not ours."""
    files = tuple(str(name) for name in handle.get("files", ()))
    kind, fmt = handle.get("kind"), handle.get("format")
    known = kind in ("volume", "snapshot") and fmt in ("raw", "qcow2")
    if not known or not files or any(parse_object_name(name) is None for name in files):
        raise errors.DriverError(reason=f"{dict(handle)} is no handle of the file driver")
    return Stored(cast(Kind, kind), cast(Format, fmt), int(handle["size_gib"]), files)


def check_depth(files: Sequence[str]) -> None:
    """DriverError when a chain has become too long for a handle."""
    if len(files) > LONGEST_CHAIN:
        raise errors.DriverError(
            reason=f"no more than {LONGEST_CHAIN} layers are possible, and the volume would have {len(files)}. "
            "Detach it and repeat the request: layers are merged while the volume is detached"
        )


def owner_of(name: str) -> str:
    """The resource in an object's name."""
    return _parsed(name)[0]


def job_of(name: str) -> str:
    """The job in an object's name."""
    return _parsed(name)[1]


def _parsed(name: str) -> tuple[str, str, int]:
    parsed = parse_object_name(name)
    if parsed is None:
        raise errors.DriverError(reason=f"{name!r} is no object of the file driver")
    return parsed

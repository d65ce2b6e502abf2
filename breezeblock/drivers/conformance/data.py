"""How the suite writes and reads a volume's bytes, as a guest would."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from breezeblock.drivers.interface import Handle, VolumeDriver

Range = tuple[int, int, int]
_QCOW2_SIZE = 24
"""Where a qcow2 header has the size (docs/interop/qcow2.txt of QEMU)."""


class Data(Protocol):
    """A way to a volume's bytes. A range is offset, length and byte; the first two in bytes, multiples of 512."""

    def fill(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[Range]) -> None:
        """Fill each range with its byte, so that it survives a crash."""

    def differing(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[Range]) -> Sequence[str]:
        """What is wrong with these ranges; empty when each holds its byte."""

    def size_bytes(self, driver: VolumeDriver, handle: Handle) -> int:
        """The size that a guest sees."""


class ImageData:
    """Bytes by way of the driver's ``image``: a raw file is read in place, a qcow2 file by QEMU's own tool."""

    def fill(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[Range]) -> None:
        """See :class:`Data`."""
        image = driver.image(handle)
        if image.format != "raw":
            _qemu_io(image.path, [*(f"write -q -P {byte} {offset} {length}" for offset, length, byte in ranges), "flush"])
            return
        with Path(image.path).open("r+b") as raw:
            for offset, length, byte in ranges:
                raw.seek(offset)
                raw.write(bytes([byte]) * length)
            raw.flush()
            os.fsync(raw.fileno())

    def differing(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[Range]) -> Sequence[str]:
        """See :class:`Data`."""
        image = driver.image(handle)
        if image.format == "raw":
            return _raw_differing(Path(image.path), ranges)
        said = _qemu_io(image.path, [f"read -q -P {byte} {offset} {length}" for offset, length, byte in ranges], "-r")
        return [line for line in said.splitlines() if "failed" in line or "error" in line]

    def size_bytes(self, driver: VolumeDriver, handle: Handle) -> int:
        """See :class:`Data`."""
        image = driver.image(handle)
        if image.format == "raw":
            return Path(image.path).stat().st_size
        with Path(image.path).open("rb") as qcow2:
            qcow2.seek(_QCOW2_SIZE)
            return int.from_bytes(qcow2.read(8), "big")


def _raw_differing(path: Path, ranges: Sequence[Range]) -> Sequence[str]:
    wrong = []
    with path.open("rb") as raw:
        for offset, length, byte in ranges:
            raw.seek(offset)
            if raw.read(length) != bytes([byte]) * length:
                wrong.append(f"{length} bytes at {offset} are not {byte:#x}")
    return wrong


def _qemu_io(path: str, commands: Sequence[str], *options: str) -> str:
    argv = ["qemu-io", "-f", "qcow2", *options, *(part for command in commands for part in ("-c", command)), path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    if done.returncode and "Pattern verification failed" not in said:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {said}")
    return said

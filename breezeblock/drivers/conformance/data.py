"""How the suite writes and reads a volume's bytes, as a guest would."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from breezeblock.drivers.interface import Handle, VolumeDriver


class Data(Protocol):
    """A way to a volume's bytes. Ranges are offset and length in bytes, multiples of 512."""

    def fill(self, driver: VolumeDriver, handle: Handle, offset: int, length: int, byte: int) -> None:
        """Write ``length`` times ``byte``, so that it survives a crash."""

    def differing(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[tuple[int, int, int]]) -> Sequence[str]:
        """What is wrong with these (offset, length, byte); empty when all is as it should be."""

    def size_bytes(self, driver: VolumeDriver, handle: Handle) -> int:
        """The size that a guest sees."""


class ImageData:
    """Bytes by way of the driver's ``image``: a raw file is read in place, a qcow2 file by QEMU's own tools."""

    def fill(self, driver: VolumeDriver, handle: Handle, offset: int, length: int, byte: int) -> None:
        """See :class:`Data`."""
        image = driver.image(handle)
        if image.format == "raw":
            with Path(image.path).open("r+b") as raw:
                raw.seek(offset)
                raw.write(bytes([byte]) * length)
                raw.flush()
                os.fsync(raw.fileno())
        else:
            _qemu_io(image.path, [f"write -q -P {byte} {offset} {length}", "flush"])

    def differing(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[tuple[int, int, int]]) -> Sequence[str]:
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
        argv = ["qemu-img", "info", "-U", "-f", image.format, "--output=json", image.path]
        said = subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout
        return int(json.loads(said)["virtual-size"])


def _raw_differing(path: Path, ranges: Sequence[tuple[int, int, int]]) -> Sequence[str]:
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

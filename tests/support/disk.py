"""What is really there: image files by qemu-img, daemons by the process table, exports by libnbd's nbdinfo."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.covered import Confirmations
from tests.support.live import daemons

GIB = 1 << 30


class Disk:
    """The eyes of an operator on the machine. Every look confirms what clients have changed."""

    def __init__(self, state: Path, log: Confirmations) -> None:
        self._state, self._log = state, log

    def images(self, resource_id: str) -> list[Path]:
        """The files of a volume or snapshot; no file without one."""
        self._log.looked("disk")
        return sorted(path for path in (self._state / "volumes").glob(f"*/*{resource_id}*") if path.is_file())

    def image(self, volume_id: str) -> dict[str, Any]:
        """What qemu-img says about the newest file of the volume: virtual-size, format, backing-filename."""
        path = max(self.images(volume_id), key=lambda image: image.stat().st_mtime_ns)
        said = subprocess.run(["qemu-img", "info", "-U", "--output=json", path], capture_output=True, check=True, timeout=30)
        return json.loads(said.stdout)

    def backend(self, volume_id: str) -> str:
        """The backend in whose directory the volume is."""
        (name,) = {path.parent.name for path in self.images(volume_id)}
        return name

    def daemon(self, volume_id: str) -> bool:
        """Whether a storage daemon serves the volume."""
        self._log.looked("disk")
        return volume_id in daemons(self._state).values()

    def served(self, uri: str) -> dict[str, Any]:
        """What libnbd's nbdinfo says of the export: export-size, is_read_only. It makes a connection of its own."""
        self._log.looked("disk")
        said = subprocess.run(["nbdinfo", "--json", uri], capture_output=True, check=True, timeout=30)
        return json.loads(said.stdout)["exports"][0]

"""Who may export a volume that a row of the exports table says is exported already (protocol rule R6). Pure."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from breezeblock import errors


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """A host, and one life of it between two boots."""

    host: str
    boot_id: str


def check(volume_id: str, me: Owner, row: Mapping[str, Any] | None) -> None:
    """Return when ``me`` may start or change the export; raise ObjectBusy when another host may still have the image open.

    ``row`` is the volume's row of the exports table, or None. The same host with another boot id is proof
    that the former daemon is gone. A foreign host's daemon counts as living until its owner, a storage
    fence or an operator says otherwise, and its row is taken away.
    """
    if row is None or row["host"] == me.host:
        return
    raise errors.ObjectBusy(
        what=f"volume {volume_id}",
        reason=f"host {row['host']} exports it; once it is dead for certain, say so: 'breezeblock host confirm-dead {row['host']}'",
    )


def rebuild_is_due(me: Owner, row: Mapping[str, Any]) -> bool:
    """Whether the export of ``row`` was ended by a reboot of this host."""
    return bool(row["host"] == me.host and row["boot_id"] != me.boot_id)


def read_boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

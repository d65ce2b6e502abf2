"""How a snapshot looks on the wire. Nothing here reads the database."""

from collections.abc import Mapping
from typing import Any, Final

from breezeblock.core.clock import wire_time
from breezeblock.core.requests import Request
from breezeblock.core.versions import V

Row = Mapping[Any, Any]
EXTENDED: Final = "volume_extension:extended_snapshot_attributes"
LATER: Final = (
    (V.GROUP_SNAPSHOTS, "group_snapshot_id"),
    (V.SNAPSHOT_USER, "user_id"),
    (V.CONSUMES_QUOTA, "consumes_quota"),
)
"""Fields that show a column of the same name, since a version."""


class View:
    """The eyes of one caller, for one request."""

    __slots__ = ("_extended", "_later")

    def __init__(self, req: Request) -> None:
        self._later = tuple(name for since, name in LATER if req.version.has(since))
        self._extended = req.allowed(EXTENDED)

    def summary(self, row: Row) -> dict[str, Any]:
        """The short form of a list."""
        return {
            "id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "volume_id": row["volume_id"],
            "status": row["status"],
            "size": row["size_gib"],
            "metadata": row["metadata"],
            "created_at": wire_time(row["created_at"]),
            "updated_at": wire_time(row["updated_at"]),
        }

    def detail(self, row: Row) -> dict[str, Any]:
        """Everything that the caller may see."""
        shown = self.summary(row)
        for name in self._later:
            shown[name] = row[name]
        if self._extended:
            shown["os-extended-snapshot-attributes:project_id"] = row["project_id"]
            shown["os-extended-snapshot-attributes:progress"] = row["progress"]
        return shown

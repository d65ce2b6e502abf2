"""How a volume type looks on the wire."""

from collections.abc import Callable, Mapping
from typing import Any

from breezeblock.core.requests import Request
from breezeblock.resources.types import rules

Row = Mapping[Any, Any]


def shower(req: Request) -> Callable[[Row], dict[str, Any]]:
    """A function that shows a row to this caller; policy is asked once, however many rows there are."""
    specs = req.allowed("volume_extension:access_types_extra_specs")
    sensitive = req.allowed("volume_extension:types_extra_specs:read_sensitive")
    qos = req.allowed("volume_extension:access_types_qos_specs_id")

    def show(row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "is_public": row["is_public"],
            "os-volume-type-access:is_public": row["is_public"],
        }
        if specs:
            shown["extra_specs"] = row["extra_specs"] if sensitive else rules.visible_specs(row["extra_specs"])
        if qos:
            shown["qos_specs_id"] = row["qos_specs_id"]
        return shown

    return show

"""Invariant: attachments agree with their volume's status, attach_status and counter."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.engine import Store, Tx

Row = Mapping[str, Any]
ATTACHED = ("attached", "detaching", "error_detaching")
"""What an attachment says as long as its server has the bytes."""
UNATTACHED = ("creating", "available", "deleting", "error_deleting", "awaiting-transfer")
"""Statuses that a volume with an attachment never has."""


def problems(store: Store) -> list[str]:
    """Every disagreement, one sentence each. Volumes whose status an operator set by hand are theirs to explain."""

    def look(tx: Tx) -> list[str]:
        of_volume: dict[str, list[Row]] = defaultdict(list)
        for row in tx.rows(sa.select(attachments)):
            of_volume[row["volume_id"]].append(row)
        known = {row["id"]: row for row in tx.rows(sa.select(volumes))}
        orphans = [f"attachments of volume {volume_id}, which does not exist" for volume_id in of_volume if volume_id not in known]
        return orphans + [problem for row in known.values() for problem in _volume(row, of_volume[row["id"]])]

    return store.read("checkers.attachments", look)


def _volume(volume: Row, found: list[Row]) -> Iterable[str]:
    what, status = f"volume {volume['id']}", volume["status"]
    attached = any(row["attach_status"] in ATTACHED for row in found)
    counted = {
        "attachments": len(found),
        "attaching": sum(row["attach_status"] == "attaching" for row in found),
        "attached": sum(row["attach_status"] in ATTACHED for row in found),
    }
    for column, count in counted.items():
        if volume[column] != count:
            yield f"{what} has {column} = {volume[column]}, but {count} such attachments"
    if (volume["attach_status"] == "attached") != attached:
        yield f"{what} has attach_status {volume['attach_status']}, but {'an' if attached else 'no'} attached attachment"
    if status == "in-use" and not attached:
        yield f"{what} is in-use without an attached attachment"
    if found and status in UNATTACHED:
        yield f"{what} is {status} with {len(found)} attachments"
    if len(found) > 1 and not volume["multiattach"] and attached:
        yield f"{what} is not multiattach, but has {len(found)} attachments"

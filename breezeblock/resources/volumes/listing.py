"""Which volumes a list, a summary or a show is about, and how they are read: constant numbers of statements, whatever the count."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core import filters, paging
from breezeblock.core.filters import Filter
from breezeblock.core.requests import Request
from breezeblock.core.versions import V
from breezeblock.resources.attachments.table import attachments
from breezeblock.resources.volumes.table import volumes
from breezeblock.resources.volumes.view import View
from breezeblock.store.engine import Tx

_SAME = ("id", "status", "availability_zone", "name", "bootable", "created_at", "updated_at", "user_id", "project_id", "volume_type_id")
LISTING: Final = paging.Listing(
    volumes,
    "Volume",
    "volumes",
    {name: (name, V.BASE) for name in _SAME}
    | {"size": ("size_gib", V.BASE), "display_name": ("name", V.BASE), "host": ("pool_id", V.BASE)},
)
FILTERS: Final[filters.Filters] = {
    "name": Filter(volumes.c.name, like=True),
    "status": Filter(volumes.c.status),
    "metadata": Filter(volumes.c["metadata"]),
    "glance_metadata": Filter(volumes.c.image_metadata, since=V.GLANCE_METADATA_FILTER),
    "bootable": Filter(volumes.c.bootable, strict_since=V.STRICT_BOOTABLE),
    "availability_zone": Filter(volumes.c.availability_zone),
    "migration_status": Filter(volumes.c.migration_status),
    "size": Filter(volumes.c.size_gib),
    "volume_type_id": Filter(volumes.c.volume_type_id),
    "user_id": Filter(volumes.c.user_id),
    "project_id": Filter(volumes.c.project_id),
    "group_id": Filter(volumes.c.group_id, since=V.GROUP_ID_FILTER),
    "created_at": Filter(volumes.c.created_at, since=V.TIME_FILTERS),
    "updated_at": Filter(volumes.c.updated_at, since=V.TIME_FILTERS),
    "consumes_quota": Filter(volumes.c.consumes_quota, since=V.CONSUMES_QUOTA),
}
FOR_ADMINS: Final[filters.Filters] = {
    **FILTERS,
    "id": Filter(volumes.c.id),
    "display_name": Filter(volumes.c.name),
    "attach_status": Filter(volumes.c.attach_status),
    "snapshot_id": Filter(volumes.c.snapshot_id),
    "source_volid": Filter(volumes.c.source_volid),
    "multiattach": Filter(volumes.c.multiattach),
    "cluster_name": Filter(volumes.c.cluster_name),
}
_ALSO = ("all_tenants", "host")


def wanted(req: Request) -> list[sa.ColumnElement[bool]]:
    """The conditions of the query. Administrators may ask for a host, host@backend or host@backend#pool."""
    admin = req.caller.is_admin
    found = filters.conditions(req, FOR_ADMINS if admin else FILTERS, _ALSO if admin else _ALSO[:1])
    if admin and "host" in req.query:
        found.append(filters.on_host(volumes.c.pool_id, req.query["host"]))
    return found


def one(req: Request, volume_id: str, rule: str) -> dict[str, Any]:
    """One volume as the caller sees it, by one statement, and one for its attachments if it has any.

    Raises as :func:`breezeblock.resources.volumes.rules.find` does.
    """
    view = View(req)
    row = req.tx.execute(view.shape.one, {"volume_id": volume_id}).one_or_none()
    if row is None or not (row.owner == req.caller.project_id or req.caller.is_admin):
        raise errors.NotFound(kind="Volume", id=volume_id)
    req.authorize(rule, {"project_id": row.owner, "user_id": row.maker})
    return detailed(req.tx, view, [row[:-2]])[0]


def detailed(tx: Tx, view: View, rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows with the view's columns, as the caller sees them; a second statement only if any of them is attached."""
    counter = view.shape.attached
    ids = [row[0] for row in rows if row[counter]]
    if not ids:
        return [view.detail(row) for row in rows]
    found = _attached(tx, ids)
    return [view.detail(row, found.get(row[0], ())) for row in rows]


def _attached(tx: Tx, ids: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """By volume, its attachments that are complete, oldest first."""
    mine = (attachments.c.volume_id.in_(ids), attachments.c.attach_status == "attached")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in tx.rows(sa.select(attachments).where(*mine).order_by(attachments.c.created_at, attachments.c.id)):
        found.setdefault(row["volume_id"], []).append(row)
    return found

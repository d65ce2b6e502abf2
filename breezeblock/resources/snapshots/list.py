"""List the caller's snapshots, in short (/snapshots) or with everything (/snapshots/detail)."""

import sqlalchemy as sa

from breezeblock.core import filters, paging
from breezeblock.core.filters import Filter
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.snapshots.view import View
from breezeblock.resources.volumes.table import volumes

_SAME = ("id", "status", "volume_id", "description", "created_at", "updated_at", "project_id", "user_id")
LISTING = paging.Listing(
    snapshots,
    "Snapshot",
    "snapshots",
    {name: (name, V.BASE) for name in _SAME}
    | {"name": ("name", V.SNAPSHOT_SORT_NAME), "display_name": ("name", V.BASE), "volume_size": ("size_gib", V.BASE)}
    | {"size": ("size_gib", V.BASE)},
)
FILTERS = {
    "name": Filter(snapshots.c.name, like=True),
    "status": Filter(snapshots.c.status),
    "volume_id": Filter(snapshots.c.volume_id),
    "user_id": Filter(snapshots.c.user_id),
    "project_id": Filter(snapshots.c.project_id),
    "metadata": Filter(snapshots.c["metadata"], since=V.SNAPSHOT_METADATA_FILTER),
    "group_snapshot_id": Filter(snapshots.c.group_snapshot_id, since=V.GROUP_SNAPSHOTS),
    "created_at": Filter(snapshots.c.created_at, since=V.TIME_FILTERS),
    "updated_at": Filter(snapshots.c.updated_at, since=V.TIME_FILTERS),
    "consumes_quota": Filter(snapshots.c.consumes_quota, since=V.CONSUMES_QUOTA),
}
FOR_ADMINS = {**FILTERS, "id": Filter(snapshots.c.id), "display_name": Filter(snapshots.c.name)}
ALSO = ("all_tenants", "availability_zone", "host")


def request(req: Request) -> Answer:
    """One page, by one statement."""
    req.authorize("volume:get_all_snapshots")
    view, admin = View(req), req.caller.is_admin
    wanted = filters.conditions(req, FOR_ADMINS if admin else FILTERS, ALSO if admin else ALSO[:2])
    wanted += _by_volume(req)
    found = paging.fetch(req, LISTING, list(snapshots.c), filters.visible(req, snapshots), wanted)
    show = view.detail if req.path.endswith("/detail") else view.summary
    return Answer(200, paging.body(req, LISTING, found, [show(row) for row in found.rows]))


def _by_volume(req: Request) -> list[sa.ColumnElement[bool]]:
    """What a snapshot has from its volume: its zone, and for administrators its host."""
    asked = []
    if "availability_zone" in req.query:
        asked.append(volumes.c.availability_zone == req.query["availability_zone"])
    if req.caller.is_admin and "host" in req.query:
        asked.append(filters.on_host(volumes.c.pool_id, req.query["host"]))
    return [snapshots.c.volume_id.in_(sa.select(volumes.c.id).where(*asked))] if asked else []

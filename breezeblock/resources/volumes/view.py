"""How a volume looks on the wire; ``since`` hides a field from older callers."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from breezeblock.core.requests import Request
from breezeblock.core.versions import RequestVersion, V

Row = Mapping[str, Any]
SHOWN_STATUS = {"managing": "creating", "error_managing": "error", "error_managing_deleting": "deleting"}
"""Statuses of the inside, and what clients know instead."""


def moment(at: Any) -> str | None:
    """ISO 8601 with microseconds, as clients parse it."""
    return None if at is None else at.isoformat(timespec="microseconds")


def _simple(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": SHOWN_STATUS.get(row["status"], row["status"]),
        "size": row["size_gib"],
        "availability_zone": row["availability_zone"],
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "name": row["name"],
        "description": row["description"],
        "volume_type": row["volume_type"],
        "snapshot_id": row["snapshot_id"],
        "source_volid": row["source_volid"],
        "metadata": row["metadata"],
        "user_id": row["user_id"],
        "bootable": "true" if row["bootable"] else "false",
        "encrypted": row["encryption_key_id"] is not None,
        "replication_status": row["replication_status"],
        "consistencygroup_id": None,
        "multiattach": row["multiattach"],
        "migration_status": row["migration_status"],
        "os-vol-tenant-attr:tenant_id": row["project_id"],
    }


Later = tuple[V, str, Callable[[Row], Any]]
LATER: tuple[Later, ...] = (
    (V.GROUPS, "group_id", lambda row: row["group_id"]),
    (V.SHARED_TARGETS, "shared_targets", lambda _: False),
    (V.SHARED_TARGETS, "service_uuid", lambda row: row["service_uuid"]),
    (V.VOLUME_TYPE_ID, "volume_type_id", lambda row: row["volume_type_id"]),
    (V.CONSUMES_QUOTA, "consumes_quota", lambda row: row["consumes_quota"]),
)
FOR_ADMINS: tuple[Later, ...] = (
    (V.BASE, "os-vol-host-attr:host", lambda row: row["pool_id"]),
    (V.BASE, "os-vol-mig-status-attr:migstat", lambda row: row["migration_status"]),
    (V.BASE, "os-vol-mig-status-attr:name_id", lambda _: None),
    (V.PROVIDER_ID, "provider_id", lambda row: row["provider_id"]),
    (V.VOLUME_CLUSTER_NAME, "cluster_name", lambda row: row["cluster_name"]),
)


@functools.lru_cache(maxsize=512)
def _fields(version: RequestVersion, *, admin: bool) -> tuple[tuple[str, Callable[[Row], Any]], ...]:
    """The later fields of a version, picked once."""
    chosen = LATER + FOR_ADMINS if admin else LATER
    return tuple((name, read) for since, name, read in chosen if version.has(since))


def links(req: Request, volume_id: str) -> list[dict[str, str]]:
    """Where the volume is, with and without the version."""
    root = req.url.replace("/v3", "", 1) if "/v3" in req.url else req.url
    return [
        {"rel": "self", "href": f"{req.url}/volumes/{volume_id}"},
        {"rel": "bookmark", "href": f"{root}/volumes/{volume_id}"},
    ]


def summary(req: Request, row: Row) -> dict[str, Any]:
    """The short form of a list."""
    return {"id": row["id"], "name": row["name"], "links": links(req, row["id"])}


def detail(req: Request, row: Row, attachments: Sequence[Row] = ()) -> dict[str, Any]:
    """Everything that the caller may see. ``row`` has ``volume_type`` (its name) and ``service_uuid`` beside the volume's columns."""
    shown = _simple(row)
    shown["attachments"] = [attachment(each) for each in attachments]
    shown["links"] = links(req, row["id"])
    for name, read in _fields(req.version, admin=req.caller.is_admin):
        shown[name] = read(row)
    if row["encryption_key_id"] is not None and req.version.has(V.ENCRYPTION_KEY_ID):
        shown["encryption_key_id"] = row["encryption_key_id"]
    if row["image_metadata"]:
        shown["volume_image_metadata"] = row["image_metadata"]
    return shown


def attachment(row: Row) -> dict[str, Any]:
    """One attachment, inside its volume."""
    return {
        "id": row["volume_id"],
        "attachment_id": row["id"],
        "volume_id": row["volume_id"],
        "server_id": row["instance_id"],
        "host_name": row["attached_host"],
        "device": row["mountpoint"],
        "attached_at": moment(row["attached_at"]),
    }

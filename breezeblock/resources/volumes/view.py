"""How a volume looks on the wire: every field once, with the version and the right that show it.

What a caller sees is the same for all rows of an answer, so it is worked out once per kind of caller and version
(:class:`Shape`): which columns to select, under which names, and what to convert. Nothing here reads the database.
"""

import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from breezeblock.core.clock import wire_time
from breezeblock.core.fields import same
from breezeblock.core.requests import Request
from breezeblock.core.versions import RequestVersion, V
from breezeblock.resources.types.table import volume_types
from breezeblock.resources.volumes.table import volumes

SHOWN_STATUS: Final = {"managing": "creating", "error_managing": "error", "error_managing_deleting": "deleting"}
"""Statuses of the inside, and what clients know instead."""
ADMIN: Final = "admin"
HOST, MIGRATION, TENANT, IMAGE = (
    "volume_extension:volume_host_attribute",
    "volume_extension:volume_mig_status_attribute",
    "volume_extension:volume_tenant_attribute",
    "volume_extension:volume_image_metadata:show",
)
RIGHTS: Final = (HOST, MIGRATION, TENANT, IMAGE)
"""The policy rules that show single fields."""
_BACKENDS: Final = uuid.UUID("0bf4f1c6-36a5-4f5e-9b2c-52a0c2d0f3b7")


@functools.lru_cache(maxsize=4096)
def service_uuid(pool_id: str | None) -> str | None:
    """Who serves the volume's targets (since 3.48): one id for each host@backend, however many workers share it; clients lock by it."""
    return None if pool_id is None else str(uuid.uuid5(_BACKENDS, pool_id.partition("#")[0]))


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a volume, from a column, or always the same. ``right``: a policy rule, or ADMIN, without which it is not shown."""

    name: str
    column: sa.ColumnElement[Any] | None
    convert: Callable[[Any], Any] | None = None
    since: V = V.BASE
    right: str | None = None
    always: Any = None


def _status(status: str) -> str:
    return SHOWN_STATUS.get(status, status)


def _text(flag: object) -> str:
    return "true" if flag else "false"


WITH_TYPE: Final = volumes.outerjoin(volume_types, volume_types.c.id == volumes.c.volume_type_id)
TYPE_NAME: Final = volume_types.c.name.label("volume_type")
FIELDS: Final = (
    Field("id", volumes.c.id),
    Field("status", volumes.c.status, _status),
    Field("size", volumes.c.size_gib),
    Field("availability_zone", volumes.c.availability_zone),
    Field("created_at", volumes.c.created_at, wire_time),
    Field("updated_at", volumes.c.updated_at, wire_time),
    Field("name", volumes.c.name),
    Field("description", volumes.c.description),
    Field("volume_type", TYPE_NAME),
    Field("snapshot_id", volumes.c.snapshot_id),
    Field("source_volid", volumes.c.source_volid),
    Field("metadata", volumes.c["metadata"]),
    Field("user_id", volumes.c.user_id),
    Field("bootable", volumes.c.bootable, _text),
    Field("encrypted", volumes.c.encryption_key_id, lambda key: key is not None),
    Field("replication_status", volumes.c.replication_status),
    Field("consistencygroup_id", None),
    Field("multiattach", volumes.c.multiattach),
    Field("migration_status", volumes.c.migration_status),
    Field("os-vol-tenant-attr:tenant_id", volumes.c.project_id, right=TENANT),
    Field("os-vol-host-attr:host", volumes.c.pool_id, right=HOST),
    Field("os-vol-mig-status-attr:migstat", volumes.c.migration_status, right=MIGRATION),
    Field("os-vol-mig-status-attr:name_id", None, right=MIGRATION),
    Field("group_id", volumes.c.group_id, since=V.GROUPS),
    Field("provider_id", volumes.c.provider_id, since=V.PROVIDER_ID, right=ADMIN),
    Field("shared_targets", None, since=V.SHARED_TARGETS, always=False),
    Field("service_uuid", volumes.c.pool_id, service_uuid, since=V.SHARED_TARGETS),
    Field("cluster_name", volumes.c.cluster_name, since=V.VOLUME_CLUSTER_NAME, right=ADMIN),
    Field("volume_type_id", volumes.c.volume_type_id, since=V.VOLUME_TYPE_ID),
    Field("consumes_quota", volumes.c.consumes_quota, since=V.CONSUMES_QUOTA),
)
_BESIDE: Final = (volumes.c.attached, volumes.c.readonly, volumes.c.image_metadata, volumes.c.encryption_key_id)
"""Columns that change what is shown, without a field of their own in every answer."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What one kind of caller sees at one version. A row to show has the values of ``columns``, in that order."""

    columns: tuple[sa.ColumnElement[Any], ...]
    page: sa.Select[Any]
    """Of the columns, without conditions; made once, as that takes longer than to execute it."""
    one: sa.Select[Any]
    """The same, and whose it is (project, user), of the volume ``volume_id``."""
    names: tuple[str, ...]
    """What the first columns are called."""
    converted: tuple[tuple[int, str, Callable[[Any], Any]], ...]
    """Place in the row, name, conversion: of fields that are not shown as stored."""
    always: Mapping[str, Any]
    image: bool
    key: bool
    attached: int
    """The place of the count of attachments that are complete."""


@functools.lru_cache(maxsize=1024)
def _shape(version: RequestVersion, rights: frozenset[str]) -> Shape:
    fields = [field for field in FIELDS if version.has(field.since) and (field.right is None or field.right in rights)]
    first: dict[str, Field] = {}
    for field in fields:
        if field.column is not None:
            first.setdefault(field.column.key or "", field)
    places = list(first)
    columns = (*(field.column for field in first.values() if field.column is not None), *_BESIDE)
    owner = (volumes.c.project_id.label("owner"), volumes.c.user_id.label("maker"))
    return Shape(
        columns=columns,
        page=sa.select(*columns).select_from(WITH_TYPE),
        one=sa.select(*columns, *owner).select_from(WITH_TYPE).where(volumes.c.id == sa.bindparam("volume_id")),
        names=tuple(field.name for field in first.values()),
        converted=tuple(
            (places.index(field.column.key or ""), field.name, field.convert or same)
            for field in fields
            if field.column is not None and (field.convert is not None or field not in first.values())
        ),
        always={field.name: field.always for field in fields if field.column is None},
        image=IMAGE in rights,
        key=version.has(V.ENCRYPTION_KEY_ID),
        attached=len(first),
    )


class View:
    """The eyes of one caller, for one request."""

    __slots__ = ("_admin", "_bookmark", "_here", "shape")

    def __init__(self, req: Request) -> None:
        self._admin = req.caller.is_admin
        rights = {right for right in RIGHTS if req.allowed(right)} | ({ADMIN} if self._admin else set())
        self.shape = _shape(req.version, frozenset(rights))
        self._here = f"{req.url}/volumes/"
        self._bookmark = f"{req.url.replace('/v3', '', 1)}/volumes/"

    def links(self, volume_id: str) -> list[dict[str, str]]:
        """Where the volume is, with and without the version."""
        return [{"rel": "self", "href": self._here + volume_id}, {"rel": "bookmark", "href": self._bookmark + volume_id}]

    def summary(self, row: Sequence[Any]) -> dict[str, Any]:
        """The short form of a list; ``row`` is id and name."""
        return {"id": row[0], "name": row[1], "links": self.links(row[0])}

    def detail(self, row: Sequence[Any], attachments: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Everything that the caller may see of a row with the shape's columns."""
        shape = self.shape
        shown: dict[str, Any] = dict(zip(shape.names, row, strict=False))
        for place, name, convert in shape.converted:
            shown[name] = convert(row[place])
        shown.update(shape.always)
        shown["links"] = self.links(row[0])
        shown["attachments"] = [self._attachment(each) for each in attachments]
        readonly, image, key = row[-3], row[-2], row[-1]
        if readonly is not None:
            shown["metadata"] = {**shown["metadata"], "readonly": str(readonly)}
        if image and shape.image:
            shown["volume_image_metadata"] = image
        if key is not None and shape.key:
            shown["encryption_key_id"] = key
        return shown

    def detail_of(self, row: Mapping[str, Any], attachments: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The same for a row by names: the volume's columns and ``volume_type``, its type's name."""
        return self.detail([row[str(column.key)] for column in self.shape.columns], attachments)

    def _attachment(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One attachment, inside its volume. Host names are for administrators."""
        return {
            "id": row["volume_id"],
            "attachment_id": row["id"],
            "volume_id": row["volume_id"],
            "server_id": row["instance_id"],
            "host_name": row["attached_host"] if self._admin else None,
            "device": row["mountpoint"],
            "attached_at": wire_time(row["attached_at"]),
        }

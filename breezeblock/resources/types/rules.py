"""Volume types: who sees which, which one a volume gets, and what their extra specs demand of a request."""

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.requests import Request
from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.types.table import volume_types
from breezeblock.resources.volumes.table import volumes
from breezeblock.scheduler.specs import matches
from breezeblock.store.engine import Tx

VISIBLE_SPECS = ("multiattach", "replication_enabled", "RESKEY:availability_zones")
"""Extra specs that say something to users; the others tell of the backends and are for operators."""


def find(tx: Tx, id_or_name: str, *, hold: bool = False) -> Mapping[str, Any] | None:
    """The type's row by its id or its name. With ``hold`` it cannot be deleted, nor its specs be changed, before the commit."""
    return _by(tx, volume_types.c.id if _is_uuid(id_or_name) else volume_types.c.name, id_or_name, hold=hold) or (
        _by(tx, volume_types.c.name, id_or_name, hold=hold) if _is_uuid(id_or_name) else None
    )


def seen(req: Request, type_id: str) -> Mapping[str, Any]:
    """The type of this id, for the caller. Raises errors.NotFound for one that is not there or that the caller may not see."""
    row = _by(req.tx, volume_types.c.id, type_id, hold=False)
    if row is None or not visible(req, row):
        raise errors.NotFound(kind="Volume type", id=type_id)
    return row


def visible_specs(extra_specs: Mapping[str, str]) -> dict[str, str]:
    """What users may read of a type's extra specs."""
    return {key: value for key, value in extra_specs.items() if key in VISIBLE_SPECS}


def readable_specs(req: Request, row: Mapping[str, Any]) -> Mapping[str, str]:
    """What the caller may read of a type's extra specs."""
    specs: Mapping[str, str] = row["extra_specs"]
    return specs if req.allowed("volume_extension:types_extra_specs:read_sensitive") else visible_specs(specs)


def visible(req: Request, row: Mapping[str, Any]) -> bool:
    """Whether the caller may see and use the type: public ones for everybody, private ones for administrators."""
    return bool(row["is_public"] or req.caller.is_admin)


def default(tx: Tx, name: str, *, hold: bool = False) -> Mapping[str, Any]:
    """The type of volumes that ask for none; ``name`` is the option default_volume_type."""
    row = _by(tx, volume_types.c.name, name, hold=hold)
    if row is None:
        raise errors.NotFound(kind="Default volume type", id=name)
    return row


def chosen(req: Request, asked: str | None, source_type_id: str | None = None) -> Mapping[str, Any]:
    """The type of a new volume: the one asked for by id or name, else its source's, else the default. Held until the commit.

    Raises errors.NotFound when there is no such type for the caller.
    """
    if asked:
        row = find(req.tx, asked, hold=True)
        if row is None or not visible(req, row):
            raise errors.NotFound(kind="Volume type", id=asked)
        return row
    of_source = _by(req.tx, volume_types.c.id, source_type_id, hold=True) if source_type_id else None
    return of_source or default(req.tx, req.settings.default_volume_type, hold=True)


def multiattach(row: Mapping[str, Any]) -> bool:
    """Whether volumes of the type may be attached more than once."""
    spec = row["extra_specs"].get("multiattach")
    return spec is not None and matches(True, spec)


def zones(row: Mapping[str, Any]) -> list[str]:
    """The availability zones that the type is bound to (RESKEY:availability_zones, since 3.52); empty for all."""
    return [zone.strip() for zone in row["extra_specs"].get("RESKEY:availability_zones", "").split(",") if zone.strip()]


def check_size(row: Mapping[str, Any], size_gib: int) -> None:
    """Raise errors.Invalid when the type's provisioning:min_vol_size or max_vol_size, in GiB, forbids the size."""
    least, most = (row["extra_specs"].get(f"provisioning:{end}_vol_size") for end in ("min", "max"))
    if least is not None and size_gib < int(least):
        raise errors.Invalid(reason=f"Volumes of type {row['name']} have at least {least} GiB; {size_gib} GiB were asked for.")
    if most is not None and size_gib > int(most):
        raise errors.Invalid(reason=f"Volumes of type {row['name']} have at most {most} GiB; {size_gib} GiB were asked for.")


def locked(req: Request, type_id: str) -> Mapping[str, Any]:
    """The type of this id, with everybody who makes a volume of it waited for and kept out until the commit.

    Raises errors.NotFound.
    """
    row = req.tx.execute(sa.select(volume_types).where(volume_types.c.id == type_id).with_for_update()).one_or_none()
    if row is None:
        raise errors.NotFound(kind="Volume type", id=type_id)
    return row._asdict()


def refuse_if_used(tx: Tx, row: Mapping[str, Any], verb: str) -> None:
    """Raise errors.ConflictAsInvalid when there are volumes or snapshots of the :func:`locked` type.

    The lock is the guard: whoever makes a volume holds the type's row first, so what was committed before is seen here.
    """
    of_type = (sa.exists().where(volumes.c.volume_type_id == row["id"]), sa.exists().where(snapshots.c.volume_type_id == row["id"]))
    if tx.execute(sa.select(sa.or_(*of_type))).scalar_one():
        raise errors.ConflictAsInvalid(verb=verb, kind="volume type", id=row["id"], reasons="there are volumes or snapshots of it.")


def change_specs(req: Request, row: Mapping[str, Any], extra_specs: Mapping[str, str]) -> None:
    """Give the :func:`locked` type these extra specs. Refused when there are volumes of it, which were placed by the old ones."""
    refuse_if_used(req.tx, row, "Changing the extra specs of")
    check_specs(extra_specs)
    values = {"extra_specs": dict(extra_specs), "updated_at": req.clock.utcnow()}
    req.tx.execute(sa.update(volume_types).where(volume_types.c.id == row["id"]).values(values))


def check_specs(extra_specs: Mapping[str, str]) -> None:
    """Raise errors.Invalid for specs that this service itself reads and cannot understand."""
    sizes: dict[str, int] = {}
    for end in ("min", "max"):
        text = extra_specs.get(f"provisioning:{end}_vol_size")
        if text is not None and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise errors.Invalid(
                reason=f"The extra spec provisioning:{end}_vol_size must be a whole number of GiB, 1 or more; it is {text!r}."
            )
        if text is not None:
            sizes[end] = int(text)
    if sizes.get("min", 0) > sizes.get("max", sizes.get("min", 0)):
        raise errors.Invalid(reason="The extra spec provisioning:min_vol_size is larger than provisioning:max_vol_size.")
    named = extra_specs.get("RESKEY:availability_zones")
    if named is not None and not all(zone.strip() for zone in named.split(",")):
        raise errors.Invalid(reason="The extra spec RESKEY:availability_zones must name zones, separated by commas.")


def _by(tx: Tx, column: sa.Column[str], value: str, *, hold: bool) -> Mapping[str, Any] | None:
    """A lock that all makers of volumes share, and that a deletion waits for: no counter of a type is a hot row for everybody."""
    wanted = sa.select(volume_types).where(column == value)
    if hold:
        wanted = wanted.with_for_update(read=True, key_share=True)
    row = tx.execute(wanted).one_or_none()
    return None if row is None else row._asdict()


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False

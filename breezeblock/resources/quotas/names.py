"""Counters of volume types: stored as ``volumes_<type id>``, known to users as ``volumes_<type name>``. Pure, but for one look-up."""

from collections.abc import Mapping

import sqlalchemy as sa

from breezeblock.resources.types.table import volume_types
from breezeblock.store.engine import Tx

PER_TYPE = ("volumes", "snapshots", "gigabytes")
"""What is also counted by volume type."""


def stored(name: str, type_ids: Mapping[str, str]) -> str | None:
    """The counter that users call ``name``, by the ids of the types of these names; None when there is no such type."""
    for kind in PER_TYPE:
        if name.startswith(f"{kind}_") and (type_id := type_ids.get(name.removeprefix(f"{kind}_"))):
            return f"{kind}_{type_id}"
    return None


def of_type(type_id: str) -> list[str]:
    """All counters of one type, as stored."""
    return [f"{kind}_{type_id}" for kind in PER_TYPE]


def label(tx: Tx, resource: str) -> str:
    """What users call the counter ``resource``."""
    kind, _, type_id = resource.partition("_")
    if kind not in PER_TYPE or not type_id:
        return resource
    name = tx.execute(sa.select(volume_types.c.name).where(volume_types.c.id == type_id)).scalar_one_or_none()
    return f"{kind}_{name or type_id}"

"""What a project uses and may use. The counters change here and nowhere else, in the transactions of what they count.

A counter of a volume type is stored under the type's id (``volumes_<id>``), so that a rename cannot split it; users see and
write its name. A charge is one statement for all counters of a request: it adds to each row, or
inserts it, in the order of their names, under the rows' locks, and reads the outcome back. What is over a
limit raises, and the caller's transaction rolls everything back; so never catch these errors inside a
transaction. Charges come last before the commit, after the pools (protocol rule R9).
"""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.config import QuotaDefaults
from breezeblock.resources.types.table import volume_types
from breezeblock.store.engine import Tx
from breezeblock.store.tables.protocol import quotas
from breezeblock.store.upsert import upsert

_log = logging.getLogger(__name__)

UNLIMITED = -1
COUNTED = ("volumes", "snapshots", "gigabytes", "groups", "backups", "backup_gigabytes")
"""The counters of a project."""
RESOURCES = (*COUNTED, "per_volume_gigabytes")
"""Everything of a project that has a limit."""
PER_TYPE = ("volumes", "snapshots", "gigabytes")
"""What is also counted by volume type."""

_ADD = {
    "postgresql": "ON CONFLICT (project_id, resource) DO UPDATE SET in_use = quotas.in_use + excluded.in_use",
    "sqlite": "ON CONFLICT (project_id, resource) DO UPDATE SET in_use = quotas.in_use + excluded.in_use",
    "mysql": "ON DUPLICATE KEY UPDATE in_use = in_use + VALUES(in_use)",
}


def of_volume(size_gib: int, type_id: str | None, *, consumes_quota: bool = True) -> dict[str, int]:
    """What one volume of ``size_gib`` counts."""
    if not consumes_quota:
        return {}
    return _by_type({"volumes": 1, "gigabytes": size_gib}, type_id)


def of_growth(from_gib: int, to_gib: int, type_id: str | None, *, consumes_quota: bool = True) -> dict[str, int]:
    """What a volume counts more once it is extended."""
    if not consumes_quota:
        return {}
    return _by_type({"gigabytes": to_gib - from_gib}, type_id)


def of_snapshot(size_gib: int, type_id: str | None, *, counts_gib: bool, consumes_quota: bool = True) -> dict[str, int]:
    """What one snapshot counts; ``counts_gib`` stands on its row, because the option no_snapshot_gb_quota may change while it lives."""
    if not consumes_quota:
        return {}
    return _by_type({"snapshots": 1} | ({"gigabytes": size_gib} if counts_gib else {}), type_id)


def together(*parts: Mapping[str, int]) -> dict[str, int]:
    """The sum of several counts, for a request over several resources."""
    return {name: sum(part.get(name, 0) for part in parts) for name in {name for part in parts for name in part}}


def negative(deltas: Mapping[str, int]) -> dict[str, int]:
    """The same, given back."""
    return {name: -delta for name, delta in deltas.items()}


def names_of_type(type_id: str) -> list[str]:
    """All counters of one type, as stored."""
    return [f"{kind}_{type_id}" for kind in PER_TYPE]


def limit_of(defaults: QuotaDefaults, resource: str, hard_limit: int | None) -> int:
    """The limit that counts: the project's own, else the default; -1 is none. A volume type has no default limit."""
    if hard_limit is not None:
        return hard_limit
    return getattr(defaults, resource) if resource in RESOURCES else UNLIMITED


def charge(tx: Tx, project_id: str, deltas: Mapping[str, int], defaults: QuotaDefaults) -> None:
    """Add ``deltas`` to the project's counters; negative ones give back and are never refused.

    Raises errors.OverQuota naming the counter, its limit, what is in use and what was asked; errors.CounterBroken, loudly,
    when a counter would become negative. Both must roll back the transaction.
    """
    wanted = {name: delta for name, delta in sorted(deltas.items()) if delta}
    if not wanted:
        return
    parameters: dict[str, str | int] = {"project": project_id}
    for place, (name, delta) in enumerate(wanted.items()):
        parameters[f"name{place}"] = name
        parameters[f"delta{place}"] = delta
    for row in tx.execute(_statement(tx.dialect, len(wanted)), parameters).all():
        name, in_use, hard_limit = row.resource, row.in_use, row.hard_limit
        if in_use < 0:
            _broken(project_id, name, wanted[name])
        limit = limit_of(defaults, name, hard_limit)
        if wanted[name] > 0 and UNLIMITED < limit < in_use:
            raise _over(tx, name, limit, in_use - wanted[name], wanted[name])


def give_back(tx: Tx, project_id: str, deltas: Mapping[str, int]) -> None:
    """Take ``deltas``, as they were charged, off the project's counters; no limit is asked about."""
    charge(tx, project_id, negative(deltas), QuotaDefaults())


@functools.cache
def _statement(dialect: str, count: int) -> sa.TextClause:
    """INSERT of ``count`` counters that adds where they exist. Written out, because a long VALUES is compiled anew each time."""
    values = ", ".join(f"(:project, :name{place}, :delta{place})" for place in range(count))
    return sa.text(
        f"INSERT INTO quotas (project_id, resource, in_use) VALUES {values} {_ADD[dialect]} RETURNING resource, in_use, hard_limit"  # noqa: S608 - no text of a user's is in it
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """One counter of a project: what users call it and how it is stored, what it may be and what it is."""

    name: str
    stored: str
    limit: int
    in_use: int


def standing(tx: Tx, project_id: str | None, defaults: QuotaDefaults, *, private_types: bool) -> list[Standing]:
    """Every counter of the project, or of a project that has no row yet (None), those of types by the types' names. Two statements."""
    rows = {}
    if project_id is not None:
        rows = {row.resource: row for row in tx.execute(sa.select(quotas).where(quotas.c.project_id == project_id))}
    types = sa.select(volume_types.c.id, volume_types.c.name).order_by(volume_types.c.name)
    if not private_types:
        types = types.where(volume_types.c.is_public.is_(sa.true()))
    known = tx.execute(types).all()
    names = [(name, name) for name in RESOURCES] + [(f"{kind}_{row.name}", f"{kind}_{row.id}") for row in known for kind in PER_TYPE]
    found = []
    for name, stored in names:
        row = rows.get(stored)
        limit = limit_of(defaults, stored, row.hard_limit if row is not None else None)
        found.append(Standing(name, stored, limit, row.in_use if row is not None else 0))
    return found


def set_limits(tx: Tx, project_id: str, limits: Mapping[str, int]) -> None:
    """Give the project limits of its own, by the names as stored; -1 is none."""
    for resource, limit in sorted(limits.items()):
        row = {"project_id": project_id, "resource": resource, "in_use": 0, "hard_limit": limit}
        tx.execute(upsert(tx, quotas, row, lambda incoming: {"hard_limit": incoming["hard_limit"]}))


def forget_limits(tx: Tx, project_id: str) -> None:
    """Take the project's own limits away."""
    own = (quotas.c.project_id == project_id, quotas.c.hard_limit.is_not(None))
    tx.execute(sa.select(quotas.c.resource).where(*own).order_by(quotas.c.resource).with_for_update()).all()
    tx.execute(sa.update(quotas).where(*own).values(hard_limit=None))


def largest_volume_gib(tx: Tx, project_id: str, defaults: QuotaDefaults) -> int:
    """The project's per_volume_gigabytes: GiB that one volume may have, or -1."""
    row = sa.select(quotas.c.hard_limit).where(quotas.c.project_id == project_id, quotas.c.resource == "per_volume_gigabytes")
    return limit_of(defaults, "per_volume_gigabytes", tx.execute(row).scalar_one_or_none())


def check_volume_size(tx: Tx, project_id: str, size_gib: int, defaults: QuotaDefaults) -> None:
    """Raise errors.OverQuota when one volume of ``size_gib`` is more than per_volume_gigabytes allows."""
    limit = largest_volume_gib(tx, project_id, defaults)
    if UNLIMITED < limit < size_gib:
        raise errors.OverQuota(
            reason=f"A volume of {size_gib} GiB is larger than the quota per_volume_gigabytes allows: at most {limit} GiB.",
            resource="per_volume_gigabytes",
            limit=limit,
            in_use=0,
            asked=size_gib,
        )


def _by_type(counts: dict[str, int], type_id: str | None) -> dict[str, int]:
    return counts | ({f"{name}_{type_id}": count for name, count in counts.items()} if type_id else {})


def _over(tx: Tx, resource: str, limit: int, in_use: int, asked: int) -> errors.OverQuota:
    name = _shown_name(tx, resource)
    unit = " GiB" if name.startswith(("gigabytes", "backup_gigabytes")) else ""
    return errors.OverQuota(
        reason=f"Quota exceeded for {name}: {asked}{unit} asked, but {in_use} of {limit}{unit} are in use already.",
        resource=name,
        limit=limit,
        in_use=in_use,
        asked=asked,
    )


def _shown_name(tx: Tx, resource: str) -> str:
    kind, _, type_id = resource.partition("_")
    if resource in RESOURCES or kind not in PER_TYPE:
        return resource
    return f"{kind}_{tx.execute(sa.select(volume_types.c.name).where(volume_types.c.id == type_id)).scalar_one_or_none() or type_id}"


def _broken(project_id: str, resource: str, change: int) -> None:
    broken = errors.CounterBroken(counter=f"quota counter {resource} of project {project_id}", change=change)
    _log.critical("%s", broken)
    raise broken

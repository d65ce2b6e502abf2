"""How many volumes there are, how large they are together, and (since SUMMARY_METADATA) all their metadata."""

from typing import Any

import sqlalchemy as sa

from breezeblock.core import filters
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.volumes import listing
from breezeblock.resources.volumes.table import volumes


def request(req: Request) -> Answer:
    """The database adds up; only metadata, whose union it cannot make, is read row by row."""
    req.authorize("volume:get_all")
    where = [*filters.visible(req, volumes), *listing.wanted(req)]
    total = sa.select(sa.func.count(volumes.c.id), sa.func.coalesce(sa.func.sum(volumes.c.size_gib), 0)).where(*where)
    count, size = tuple(req.tx.execute(total).one())
    answer: dict[str, Any] = {"total_size": int(size), "total_count": count}
    if req.version.has(V.SUMMARY_METADATA):
        answer["metadata"] = _union(req, where)
    return Answer(200, {"volume-summary": answer})


def _union(req: Request, where: list[Any]) -> dict[str, list[str]]:
    """Each key with the values that any volume has for it."""
    found: dict[str, dict[str, None]] = {}
    for metadata in req.tx.execute(sa.select(volumes.c["metadata"]).where(*where)).scalars():
        for key, value in metadata.items():
            found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}

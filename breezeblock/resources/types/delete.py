"""Delete a volume type that nothing is of."""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.quotas import rules as quotas_rules
from breezeblock.resources.types import rules
from breezeblock.resources.types.table import volume_types
from breezeblock.store.tables.protocol import quotas


def request(req: Request, type_id: str) -> Answer:
    """Its row is held against new volumes first; its counters, all zero then, go with it."""
    req.authorize("volume_extension:type_delete")
    row = rules.locked(req, type_id)
    if row["name"] == req.settings.default_volume_type:
        raise errors.Invalid(reason=f"Volume type {row['name']} is the default (default_volume_type) and cannot be deleted.")
    rules.refuse_if_used(req.tx, row, "Deleting")
    req.tx.execute(sa.delete(volume_types).where(volume_types.c.id == type_id))
    counters = sa.select(quotas.c.project_id, quotas.c.resource).where(quotas.c.resource.in_(quotas_rules.names_of_type(type_id)))
    for counter in req.tx.execute(counters.order_by(quotas.c.project_id, quotas.c.resource)).all():
        req.tx.execute(
            sa.delete(quotas).where(quotas.c.project_id == counter.project_id, quotas.c.resource == counter.resource, quotas.c.in_use == 0)
        )
    return Answer(202)

"""Which availability zones there are: those of the registered volume services."""

import sqlalchemy as sa

from breezeblock import errors
from breezeblock.resources.services import rules as services_rules
from breezeblock.resources.services.table import services
from breezeblock.store.engine import Tx


def known(tx: Tx) -> dict[str, bool]:
    """Each zone, and whether any of its services takes new volumes."""
    rows = tx.execute(
        sa.select(services.c.availability_zone, services.c.disabled)
        .where(services.c.binary == services_rules.VOLUME)
        .distinct()
        .order_by(services.c.availability_zone)
    ).all()
    found: dict[str, bool] = {}
    for row in rows:
        found[row.availability_zone] = found.get(row.availability_zone, False) or not row.disabled
    return found


def check(tx: Tx, zone: str) -> None:
    """Raise errors.Invalid for a zone that no volume service is in."""
    if zone not in known(tx):
        raise errors.Invalid(reason=f"Availability zone {zone[:60]!r} is invalid.")

"""List the services: who serves what, who is up, and what an operator switched off."""

import sqlalchemy as sa

from breezeblock.core.requests import Answer, Request
from breezeblock.resources.services import rules, view
from breezeblock.resources.services.table import services


def request(req: Request) -> Answer:
    """All of them, or those of a host (with all its backends) or of a binary. Two statements, whatever their number."""
    req.authorize("volume_extension:services:index")
    wanted = sa.select(services).order_by(services.c.binary, services.c.host)
    if host := req.query.get("host"):
        wanted = wanted.where(sa.or_(services.c.host == host, services.c.host.startswith(f"{host}@", autoescape=True)))
    if binary := req.query.get("binary") or req.query.get("service"):
        wanted = wanted.where(services.c.binary == binary)
    alive = rules.serving(req.tx)
    return Answer(200, {"services": [view.show(req, row._asdict(), alive) for row in req.tx.execute(wanted)]})

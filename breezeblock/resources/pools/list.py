"""List the pools, and with ``detail`` what they can do and hold."""

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Query
from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.pools import rules
from breezeblock.resources.types import rules as types
from breezeblock.scheduler import specs
from breezeblock.scheduler.model import Pool

QUERY = Query({"detail": fields.BOOLEAN})


def request(req: Request) -> Answer:
    """Pools of services that are down or switched off are listed too: backend_state and the list of services tell."""
    req.authorize("scheduler_extension:scheduler_stats:get_pools")
    found = [pool for pool in rules.known(req.tx) if _wanted(req, pool)]
    wanted = _of_type(req)
    shown = [pool for pool in found if specs.unmet(pool.facts(), wanted) == []]
    if req.params.get("detail"):
        return Answer(200, {"pools": [{"name": pool.id, "capabilities": pool.facts()} for pool in shown]})
    return Answer(200, {"pools": [{"name": pool.id} for pool in shown]})


def _wanted(req: Request, pool: Pool) -> bool:
    """Any capability is a filter, since POOL_FILTERS; so is the name, of the pool or of its host."""
    if not req.version.has(V.POOL_FILTERS):
        return True
    facts = {**pool.facts(), "name": pool.id}
    asked = {name: value for name, value in req.query.items() if name not in ("detail", "volume_type")}
    return all(specs.matches(facts.get(name), value) or (name == "name" and value == pool.host) for name, value in asked.items())


def _of_type(req: Request) -> dict[str, str]:
    """The extra specs of the type that is asked for, since POOL_TYPE_FILTER."""
    name = req.query.get("volume_type")
    if not name or not req.version.has(V.POOL_TYPE_FILTER):
        return {}
    row = types.find(req.tx, name)
    if row is None:
        raise errors.NotFound(kind="Volume type", id=name)
    return dict(row["extra_specs"])

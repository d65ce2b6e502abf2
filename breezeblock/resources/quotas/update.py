"""Give a project limits of its own."""

from breezeblock import errors
from breezeblock.core import fields
from breezeblock.core.bodies import Body, Query
from breezeblock.core.requests import Answer, Request
from breezeblock.resources.quotas import rules, view

_LIMIT = fields.integer(-1)
BODY = Body("quota_set", {"tenant_id": fields.TEXT, "project_id": fields.TEXT} | dict.fromkeys(rules.RESOURCES, _LIMIT), others=_LIMIT)
QUERY = Query({"skip_validation": fields.BOOLEAN})


def request(req: Request, project_id: str) -> Answer:
    """A limit below what is in use stops new use and takes nothing away; with skip_validation=false it is refused."""
    req.authorize("volume_extension:quotas:update", {"project_id": project_id})
    asked = {name: limit for name, limit in req.body.items() if name not in ("tenant_id", "project_id")}
    before = {one.name: one for one in rules.standing(req.tx, project_id, req.settings.quota, private_types=True)}
    if unknown := sorted(asked.keys() - before.keys()):
        raise errors.Invalid(reason=f"There are no such quotas: {', '.join(name[:60] for name in unknown)}.")
    if not req.params.get("skip_validation", True):
        _refuse_below_use(before, asked)
    rules.set_limits(req.tx, project_id, {before[name].stored: limit for name, limit in asked.items()})
    return Answer(200, {"quota_set": view.limits(before.values()) | asked})


def _refuse_below_use(before: dict[str, rules.Standing], asked: dict[str, int]) -> None:
    for name, limit in asked.items():
        if rules.UNLIMITED < limit < before[name].in_use:
            raise errors.Invalid(reason=f"Quota limit {limit} of {name} is less than what is in use, {before[name].in_use}.")

"""The whole API, one line per route: method, path below /v3 and the optional project, verb, policy rule.

Read it as the table of contents. A path's order here means nothing; literal parts of a path win over ids.
"""

from breezeblock.api.route import Route
from breezeblock.resources.volumes import create as volume_create
from breezeblock.resources.volumes import delete as volume_delete
from breezeblock.resources.volumes import extend as volume_extend

ROUTES: tuple[Route, ...] = (
    # volumes
    Route("POST", "/volumes", volume_create, "volume:create", answers=202),
    Route("DELETE", "/volumes/{volume_id}", volume_delete, ("volume:delete", "volume:force_delete"), answers=202),
    Route("POST", "/volumes/{volume_id}/action", volume_extend, "volume:extend", action="os-extend", answers=202),
)

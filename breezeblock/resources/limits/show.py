"""Show what a project may use and uses; administrators also of another project, since LIMITS_PROJECT."""

from breezeblock.core.requests import Answer, Request
from breezeblock.core.versions import V
from breezeblock.resources.quotas import rules

NAMES = (
    ("volumes", "maxTotalVolumes", "totalVolumesUsed"),
    ("snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"),
    ("gigabytes", "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    ("backups", "maxTotalBackups", "totalBackupsUsed"),
    ("backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
)
"""The counter, and what clients call its limit and its use."""


def request(req: Request) -> Answer:
    """There are no rate limits, so their list is empty."""
    project_id = _project(req)
    req.authorize("limits_extension:used_limits", {"project_id": project_id})
    standing = {one.name: one for one in rules.standing(req.tx, project_id, req.settings.quota, private_types=False)}
    limits = {most: standing[name].limit for name, most, _ in NAMES}
    used = {use: standing[name].in_use for name, _, use in NAMES}
    return Answer(200, {"limits": {"rate": [], "absolute": limits | used}})


def _project(req: Request) -> str:
    """The project asked about. Who may not ask gets the own one's, as clients send the name along anyway."""
    if not (req.caller.is_admin and req.version.has(V.LIMITS_PROJECT)):
        return req.caller.project_id
    return req.query.get("project_id") or req.query.get("tenant_id") or req.caller.project_id

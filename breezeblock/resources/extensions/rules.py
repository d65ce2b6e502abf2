"""The extensions that this service has."""

from typing import Any

EXTENSIONS = (
    ("AdminActions", "os-admin-actions", "Administrators reset states and force deletions."),
    ("AvailabilityZones", "os-availability-zone", "The availability zones."),
    ("Capabilities", "capabilities", "What a backend can do."),
    ("ExtendedServices", "os-extended-services", "Services show why they were disabled."),
    ("ExtendedSnapshotAttributes", "os-extended-snapshot-attributes", "Snapshots show their progress and project."),
    ("Quotas", "os-quota-sets", "Quotas of a project."),
    ("SchedulerStats", "scheduler-stats", "The pools of the backends."),
    ("Services", "os-services", "Services: list, enable, disable."),
    ("SnapshotActions", "os-snapshot-actions", "A snapshot's state is reported."),
    ("TypesExtraSpecs", "os-types-extra-specs", "Extra specs of volume types."),
    ("TypesManage", "os-types-manage", "Volume types are created, changed and deleted."),
    ("UsedLimits", "os-used-limits", "Limits show what is in use."),
    ("VolumeActions", "os-volume-actions", "Volumes are attached, detached, extended."),
    ("VolumeHostAttribute", "os-vol-host-attr", "Volumes show administrators where they lie."),
    ("VolumeMigStatusAttribute", "os-vol-mig-status-attr", "Volumes show administrators the state of a migration."),
    ("VolumeTenantAttribute", "os-vol-tenant-attr", "Volumes show their project."),
)
"""Name, alias and description."""


def known() -> dict[str, dict[str, Any]]:
    """All of them as the wire has them, by alias. They have not changed since before microversions, which tell of everything newer."""
    return {
        alias: {"name": name, "alias": alias, "description": text, "updated": "2016-04-01T00:00:00Z", "links": []}
        for name, alias, text in EXTENSIONS
    }

"""The API's microversions: the one list of numbers, and the only module that compares them.

Everything else names a version: ``since=V.EXTEND_IN_USE`` on a field, a route or a from-state, or
``version.has(V.EXTEND_IN_USE)`` where behaviour differs. The texts are for users: the history
page is made from them.
"""

import enum
import functools
from typing import Self


class V(enum.Enum):
    """A microversion, by what it brought. Release notes of OpenStack's Block Storage API are the source of the numbers."""

    BASE = (3, 0), "The API of version 2, under the /v3 path, with microversions."
    UPLOAD_VISIBILITY = (3, 1), "Uploading a volume to an image accepts visibility and protected."
    STRICT_BOOTABLE = (3, 2), "The bootable filter of a volume list takes true or false in a documented spelling; anything else is refused."
    MESSAGES = (3, 3), "User messages can be listed, shown and deleted."
    GLANCE_METADATA_FILTER = (3, 4), "Volumes can be filtered by image metadata (glance_metadata)."
    MESSAGE_PAGING = (3, 5), "The list of messages can be sorted, filtered and paged."
    CG_BLANK_NAME = (3, 6), "A consistency group's update may blank its name and description."
    CLUSTERS = (3, 7), "Clusters can be listed, shown, enabled and disabled; services name their cluster."
    MANAGEABLE = (3, 8), "Volumes and snapshots that can be taken under management are listed and managed under paths of their own."
    BACKUP_UPDATE = (3, 9), "A backup's name and description can be changed."
    GROUP_ID_FILTER = (3, 10), "Volumes can be filtered by group_id."
    GROUP_TYPES = (3, 11), "Group types and their specs."
    SUMMARY = (3, 12), "The volumes summary: count and total size."
    GROUPS = (3, 13), "Generic groups; a volume shows its group_id."
    GROUP_SNAPSHOTS = (3, 14), "Group snapshots, groups from a source; a snapshot shows its group_snapshot_id."
    ETAG = (3, 15), "Volume metadata carries an ETag and honours If-Match."
    MIGRATE_CLUSTER = (3, 16), "Migrating and managing accept a cluster."
    MANAGEABLE_CLUSTER = (3, 17), "The manageable lists accept a cluster."
    BACKUP_PROJECT = (3, 18), "A backup shows its project to administrators."
    GROUP_SNAPSHOT_RESET = (3, 19), "A group snapshot's status can be reset."
    GROUP_RESET = (3, 20), "A group's status can be reset."
    PROVIDER_ID = (3, 21), "A volume's details show provider_id to administrators."
    SNAPSHOT_METADATA_FILTER = (3, 22), "Snapshots can be filtered by metadata."
    DELETE_FORCE = (3, 23), "Deleting a volume accepts force."
    WORKERS_CLEANUP = (3, 24), "Cleanup of workers can be asked for."
    GROUP_LIST_VOLUME = (3, 25), "A group's details can list its volumes."
    CLUSTER_REPLICATION = (3, 26), "Failover, freeze and thaw accept clusters, and clusters show their replication."
    ATTACHMENTS = (3, 27), "The attachments API."
    POOL_FILTERS = (3, 28), "Pools can be filtered."
    GROUP_SNAPSHOT_PAGING = (3, 29), "Group snapshots can be filtered, sorted and paged."
    SNAPSHOT_SORT_NAME = (3, 30), "Snapshots can be sorted by name."
    RESOURCE_FILTERS_ENFORCED = (3, 31), "Filters are configured per resource, and others are refused."
    LOG_LEVELS = (3, 32), "Log levels of services can be read and set."
    RESOURCE_FILTERS = (3, 33), "The configured filters can be listed."
    LIKE_FILTERS = (3, 34), "A filter name that ends in ~ matches a part."
    POOL_TYPE_FILTER = (3, 35), "Pools can be filtered by volume type."
    SUMMARY_METADATA = (3, 36), "The volumes summary holds the union of the metadata."
    BACKUP_SORT_NAME = (3, 37), "Backups can be sorted by name."
    GROUP_REPLICATION = (3, 38), "Groups can be replicated and failed over."
    LIMITS_PROJECT = (3, 39), "Limits can be shown for another project by administrators."
    REVERT = (3, 40), "A volume can be reverted to its latest snapshot."
    SNAPSHOT_USER = (3, 41), "A snapshot shows its user."
    EXTEND_IN_USE = (3, 42), "An attached volume can be extended."
    BACKUP_METADATA = (3, 43), "Backups have metadata."
    ATTACHMENT_COMPLETE = (3, 44), "An attachment can be marked complete."
    WITH_COUNT = (3, 45), "Lists of volumes, snapshots and backups can carry their total count."
    NOVA_IMAGE_SNAPSHOT = (3, 46), "A volume made from a server's image uses the volume snapshot behind it."
    CREATE_FROM_BACKUP = (3, 47), "A volume can be made from a backup."
    SHARED_TARGETS = (3, 48), "A volume shows shared_targets and service_uuid."
    BACKEND_STATE = (3, 49), "A service shows the state of its backend."
    MULTIATTACH = (3, 50), "Multiattach by volume type is supported."
    BACKUP_ZONE = (3, 51), "A backup can be placed in an availability zone."
    TYPE_ZONES_AND_FILTER = (3, 52), "Types can be filtered by extra specs and bound to availability zones."
    STRICT_SCHEMAS = (3, 53), "Unknown keys in a create are refused; an update needs at least one valid key."
    ATTACHMENT_MODE = (3, 54), "An attachment has a mode: rw or ro."
    TRANSFER_SNAPSHOTS = (3, 55), "Volume transfers carry snapshots, under /volume-transfers."
    BACKUP_USER = (3, 56), "A backup shows its user."
    TRANSFER_PROJECTS = (3, 57), "A transfer shows its source and destination project and whether it was accepted."
    GROUP_PROJECT = (3, 58), "Groups and group snapshots show their project."
    TRANSFER_PAGING = (3, 59), "Transfers can be sorted and paged."
    TIME_FILTERS = (3, 60), "Volumes can be filtered by comparing created_at and updated_at."
    VOLUME_CLUSTER_NAME = (3, 61), "A volume's details show cluster_name to administrators."
    DEFAULT_TYPES = (3, 62), "A project can have a default volume type."
    VOLUME_TYPE_ID = (3, 63), "A volume shows volume_type_id."
    ENCRYPTION_KEY_ID = (3, 64), "A volume and a backup show encryption_key_id when they have one."
    CONSUMES_QUOTA = (3, 65), "Volumes and snapshots show consumes_quota, and can be filtered by it."
    SNAPSHOT_IN_USE = (3, 66), "A snapshot of an attached volume needs no force."
    PROJECT_ID_OPTIONAL = (3, 67), "The project id may be left out of the path."
    REIMAGE = (3, 68), "A volume can be re-imaged."
    SHARED_TARGETS_TRISTATE = (3, 69), "shared_targets may be null."
    TRANSFER_ENCRYPTED = (3, 70), "An encrypted volume can be transferred."
    EXTEND_COMPLETION = (3, 71), "An extension that a server must complete is acknowledged by os-extend_volume_completion."

    def __init__(self, number: tuple[int, int], text: str) -> None:
        self.number = number
        self.text = text

    def __str__(self) -> str:
        return f"{self.number[0]}.{self.number[1]}"


LOW, HIGH = V.BASE, list(V)[-1]


@functools.total_ordering
class RequestVersion:
    """The microversion that one request asked for."""

    __slots__ = ("_number",)

    def __init__(self, number: tuple[int, int]) -> None:
        self._number = number

    @classmethod
    def of(cls, version: V) -> Self:
        """The request of a client that asks for exactly ``version``."""
        return cls(version.number)

    @classmethod
    def latest(cls) -> Self:
        """The newest that this service speaks."""
        return cls(HIGH.number)

    @classmethod
    def lowest(cls) -> Self:
        """What a request without the header gets."""
        return cls(LOW.number)

    def has(self, version: V) -> bool:
        """Whether the request's version includes ``version``."""
        return self._number >= version.number

    @property
    def served(self) -> bool:
        """Whether it lies inside the range of this service."""
        return LOW.number <= self._number <= HIGH.number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestVersion) and self._number == other._number

    def __lt__(self, other: "RequestVersion") -> bool:
        return self._number < other._number

    def __hash__(self) -> int:
        return hash(self._number)

    def __str__(self) -> str:
        return f"{self._number[0]}.{self._number[1]}"

"""The statuses of a volume, by the names that clients know."""

from typing import Final

CREATING: Final = "creating"
AVAILABLE: Final = "available"
IN_USE: Final = "in-use"
RESERVED: Final = "reserved"
ATTACHING: Final = "attaching"
DETACHING: Final = "detaching"
DELETING: Final = "deleting"
EXTENDING: Final = "extending"
REVERTING: Final = "reverting"
MAINTENANCE: Final = "maintenance"
ERROR: Final = "error"
ERROR_DELETING: Final = "error_deleting"
ERROR_EXTENDING: Final = "error_extending"
ERROR_RESTORING: Final = "error_restoring"
ERROR_MANAGING: Final = "error_managing"

DELETABLE: Final = (AVAILABLE, ERROR, ERROR_RESTORING, ERROR_EXTENDING, ERROR_MANAGING, ERROR_DELETING)
"""From where a volume is deleted without force."""

ATTACHED: Final = "attached"
DETACHED: Final = "detached"

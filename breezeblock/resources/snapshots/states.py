"""The statuses of a snapshot, by the names that clients know."""

from typing import Final

CREATING: Final = "creating"
AVAILABLE: Final = "available"
DELETING: Final = "deleting"
RESTORING: Final = "restoring"
ERROR: Final = "error"
ERROR_DELETING: Final = "error_deleting"

DELETABLE: Final = (AVAILABLE, ERROR, ERROR_DELETING)
"""From where a snapshot is deleted without force."""

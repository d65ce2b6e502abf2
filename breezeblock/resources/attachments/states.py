"""The attach statuses of an attachment and of its volume, by the names that clients know."""

from typing import Final

RESERVED: Final = "reserved"
ATTACHING: Final = "attaching"
ATTACHED: Final = "attached"
DETACHING: Final = "detaching"
DETACHED: Final = "detached"
ERROR_ATTACHING: Final = "error_attaching"
ERROR_DETACHING: Final = "error_detaching"

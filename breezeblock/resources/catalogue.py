"""Every resource of the service, in one literal list. What is not here has no jobs."""

from breezeblock.core.resource import Registry
from breezeblock.resources import attachments, snapshots, volumes


def registry() -> Registry:
    """The resources and verbs that this binary knows."""
    return Registry((volumes.RESOURCE, snapshots.RESOURCE, attachments.RESOURCE))

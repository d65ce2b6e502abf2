"""Volumes: block devices that hold a project's bytes."""

from breezeblock.core.resource import Resource
from breezeblock.resources.volumes import create, delete, extend, force_delete, revert, rules
from breezeblock.resources.volumes.table import volumes

RESOURCE = Resource(
    "volumes",
    volumes,
    (create.VERB, delete.VERB, extend.VERB, force_delete.VERB, revert.VERB),
    handles=rules.handles,
)

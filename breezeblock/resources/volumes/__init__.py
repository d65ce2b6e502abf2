"""Volumes: block devices that hold a project's bytes."""

from breezeblock.core.resource import Resource
from breezeblock.resources.volumes import create, delete, extend, rules
from breezeblock.resources.volumes.table import volumes

RESOURCE = Resource("volumes", volumes, (create.VERB, delete.VERB, extend.VERB), handles=rules.handles)

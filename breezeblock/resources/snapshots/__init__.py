"""Snapshots: what a volume's bytes were at one instant."""

from breezeblock.core.resource import Resource
from breezeblock.resources.snapshots import create, delete, force_delete
from breezeblock.resources.snapshots.table import snapshots

RESOURCE = Resource("snapshots", snapshots, (create.VERB, delete.VERB, force_delete.VERB))

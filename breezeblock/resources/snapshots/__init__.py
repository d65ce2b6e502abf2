"""Snapshots: what a volume's bytes were at one instant."""

from breezeblock.core.resource import Resource
from breezeblock.resources.snapshots.table import snapshots

RESOURCE = Resource("snapshots", snapshots)

"""Volumes as files in a directory: raw files that share extents where the filesystem can, qcow2 with backing chains elsewhere."""

from breezeblock.drivers.file.driver import FileDriver

__all__ = ["FileDriver"]

"""The resources of the API, one folder each, with the same file names in every one."""

"""Storage drivers. A driver imports :mod:`breezeblock.drivers.interface` and :mod:`breezeblock.errors`, nothing else of ours."""

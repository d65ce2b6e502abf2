"""Pools: what the backends report, and what is promised of it."""

"""Metadata: what users note on volumes and snapshots, key by key."""

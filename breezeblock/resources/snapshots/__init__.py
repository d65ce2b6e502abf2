"""The manifest of snapshots."""

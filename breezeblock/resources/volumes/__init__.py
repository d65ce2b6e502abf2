"""The manifest of volumes."""

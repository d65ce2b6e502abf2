"""The manifest of services."""

"""The manifest of types."""

"""The manifest of attachments."""

"""Limits: a project's quotas and their use, as users ask for them."""

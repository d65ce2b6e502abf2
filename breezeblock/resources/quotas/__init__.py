"""Quotas: what each project uses and may use."""

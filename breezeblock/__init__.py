"""Breezeblock: an active-active block-storage control plane that speaks the OpenStack Block Storage API v3."""

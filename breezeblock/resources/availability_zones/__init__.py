"""Availability zones: the names that services of volumes stand under."""

"""The ``breezeblock`` command. It may import everything, and nothing imports it."""

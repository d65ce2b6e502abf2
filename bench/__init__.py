"""Load generators for any Block Storage v3 endpoint, and ``python -m bench``, which measures this service on three databases."""

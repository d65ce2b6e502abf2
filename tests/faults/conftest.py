"""What the tests with real processes share."""

from tests.support.service import service

__all__ = ["service"]

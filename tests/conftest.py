"""What every test can use. A run's database servers are started when first needed, and stopped here."""

import pytest

from tests.support import servers
from tests.support.databases import database, empty_database, store

__all__ = ["database", "empty_database", "store"]

_owner = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Make this process the owner of the run's servers, unless it is a worker of one that is."""
    config.stash[_owner] = servers.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, whatever the tests did."""
    if config.stash.get(_owner, False):
        servers.end_run()

"""The store of tests of the worker has the toy's tables."""

from collections.abc import Iterator

import pytest

from breezeblock.core import faults
from breezeblock.store.engine import Store
from tests.unit.core import toy


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """A store on ``database``, with the toy's tables."""
    store = Store(database, name="test", reach=faults.reach)
    toy.prepare(store)
    yield store
    store.dispose()

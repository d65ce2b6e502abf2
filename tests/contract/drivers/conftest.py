"""Where the drivers' contract tests keep their volumes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.filesystems import mounted

pytest.register_assert_rewrite("breezeblock.drivers.conformance.suite", "breezeblock.drivers.conformance.world")


@pytest.fixture(scope="session")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A filesystem whose files cannot share extents."""
    with mounted("ext4", tmp_path_factory.mktemp("ext4"), 512) as point:
        yield point


@pytest.fixture(scope="session")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A filesystem whose files share extents."""
    with mounted("xfs", tmp_path_factory.mktemp("xfs"), 512) as point:
        yield point

"""The file driver passes the public suite: qcow2 on ext4, raw with shared extents on XFS, qcow2 on XFS too, and full filesystems."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.conformance import DriverConformance, NoSpaceConformance, Subject
from tests.support.file_backend import file_driver
from tests.support.filesystems import fill, mounted


class TestQcow2OnExt4(DriverConformance):
    @pytest.fixture
    def subject(self, ext4: Path) -> Subject:
        path = ext4 / str(uuid.uuid4())
        return Subject(lambda: file_driver(path))


class TestQcow2WithShortChains(DriverConformance):
    """The same with flattening in nearly every step."""

    @pytest.fixture
    def subject(self, ext4: Path) -> Subject:
        path = ext4 / str(uuid.uuid4())
        return Subject(lambda: file_driver(path, file_chain_limit=1))


class TestRawOnXfs(DriverConformance):
    @pytest.fixture
    def subject(self, xfs: Path) -> Subject:
        path = xfs / str(uuid.uuid4())
        return Subject(lambda: file_driver(path))


class TestFull(NoSpaceConformance):
    @pytest.fixture(params=["ext4", "xfs"])
    def point(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
        with mounted(request.param, tmp_path, 16) as point:
            yield point

    @pytest.fixture
    def subject(self, point: Path) -> Subject:
        return Subject(lambda: file_driver(point / "volumes"))

    @pytest.fixture
    def exhaust(self, point: Path) -> Callable[[], None]:
        return lambda: fill(point)

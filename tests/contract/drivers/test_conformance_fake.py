"""The fake backend passes the suite of real ones, in memory and in its file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from breezeblock.drivers.conformance import DriverConformance, Subject
from breezeblock.drivers.fake import FakeDriver, MemoryStore, SqliteStore
from breezeblock.drivers.interface import DriverContext, Handle, VolumeDriver
from tests.support.live_images import NothingLive


class FakeData:
    """Bytes as the fake backend keeps them."""

    def fill(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[tuple[int, int, int]]) -> None:
        for offset, length, byte in ranges:
            cast(FakeDriver, driver).write(handle, offset, bytes([byte]) * length)

    def differing(self, driver: VolumeDriver, handle: Handle, ranges: Sequence[tuple[int, int, int]]) -> Sequence[str]:
        fake = cast(FakeDriver, driver)
        return [
            f"{length} bytes at {offset} are not {byte:#x}"
            for offset, length, byte in ranges
            if fake.read(handle, offset, length) != bytes([byte]) * length
        ]

    def size_bytes(self, driver: VolumeDriver, handle: Handle) -> int:
        sizes = {found.name: found.size_bytes for found in driver.objects()}
        return sizes[str(handle["object"])]


class TestInMemory(DriverConformance):
    @pytest.fixture(params=[False, True], ids=["copies", "freezes"])
    def subject(self, request: pytest.FixtureRequest) -> Subject:
        options = {"fake_store": MemoryStore(), "fake_freezes": request.param}
        return Subject(lambda: FakeDriver(DriverContext("fake", options, NothingLive())), FakeData())


class TestInAFile(DriverConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        built: list[FakeDriver] = []

        def build() -> FakeDriver:
            built.append(FakeDriver(DriverContext("fake", {"fake_path": str(tmp_path / "fake.sqlite")}, NothingLive())))
            return built[-1]

        yield Subject(build, FakeData())
        for driver in built:
            cast(SqliteStore, driver.store).close()

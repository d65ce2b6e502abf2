"""The file driver without a filesystem that shares extents: its set-up, its options, its errors."""

import uuid
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers import registry
from breezeblock.drivers.file import FileDriver, raw
from breezeblock.drivers.file.directory import GIB, Directory
from breezeblock.drivers.interface import Call, DriverContext, Token, VolumeSpec
from tests.support.file_backend import file_driver
from tests.support.live_images import NothingLive

VOLUME, JOB = str(uuid.uuid4()), str(uuid.uuid4())
CALL = Call(JOB, {VOLUME: Token(1, 1, 1)})


def test_it_is_found_by_name(tmp_path: Path) -> None:
    driver = registry.build("file", DriverContext("files", {"file_path": str(tmp_path)}, NothingLive()))
    assert isinstance(driver, FileDriver)


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(errors.BadConfiguration, match="absolute"):
        file_driver(Path("volumes"))


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.BadConfiguration, match="cannot be used"):
        file_driver(tmp_path / "file")


def test_raw_is_refused_where_extents_cannot_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breezeblock.drivers.file.driver.can_reflink", lambda _: False)
    with pytest.raises(errors.BadConfiguration, match="cannot share extents"):
        file_driver(tmp_path, file_format="raw")
    assert file_driver(tmp_path).format == "qcow2"


def test_the_tools_it_needs_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(errors.BadConfiguration, match="qemu-img and setpriv"):
        file_driver(tmp_path, file_format="qcow2")


def test_without_set_up_it_makes_nothing(tmp_path: Path) -> None:
    driver = FileDriver(DriverContext("files", {"file_path": str(tmp_path)}, NothingLive()))
    with pytest.raises(errors.DriverError, match="not set up"):
        driver.create(CALL, VolumeSpec(VOLUME, 1))


def test_the_directory_is_nobody_elses(tmp_path: Path) -> None:
    file_driver(tmp_path / "deep" / "volumes")
    assert (tmp_path / "deep" / "volumes").stat().st_mode & 0o007 == 0


def test_the_pool_is_the_filesystem(tmp_path: Path) -> None:
    driver = file_driver(tmp_path, file_format="qcow2")
    driver.create(CALL, VolumeSpec(VOLUME, 1000))
    (pool,) = driver.pools()
    assert pool.name == "files"
    assert pool.thin
    assert 0 < pool.allocated_gib < 0.01
    assert pool.capabilities["file_format"] == "qcow2"


def test_foreign_files_are_neither_listed_nor_removed(tmp_path: Path) -> None:
    driver = file_driver(tmp_path, file_format="qcow2")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "notes.txt").touch()
    assert list(driver.objects()) == []
    for name in ("notes.txt", "../notes.txt", "lost+found", ".fence", f".fence/../{VOLUME}"):
        with pytest.raises(errors.DriverError):
            driver.remove([name])
    assert (tmp_path / "notes.txt").exists()


def test_growing_a_raw_file_commutes(tmp_path: Path) -> None:
    """A late, smaller extend shortens nothing: allocation cannot."""
    directory = Directory(tmp_path)
    name = f"{VOLUME}.{JOB}.e1"
    (tmp_path / name).write_bytes(b"data")
    for size_gib in (2, 1, 2):
        raw.grow(directory, name, size_gib)
        assert (tmp_path / name).stat().st_size == 2 * GIB
    with (tmp_path / name).open("rb") as grown:
        assert grown.read(6) == b"data\0\0"

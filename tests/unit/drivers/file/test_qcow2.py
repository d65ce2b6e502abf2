"""The images that the driver writes itself, byte by byte (the contract tests hold them against QEMU's)."""

import struct
import uuid
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.file import qcow2
from breezeblock.drivers.file.directory import GIB, Directory

JOB = str(uuid.uuid4())


def name() -> str:
    return f"{uuid.uuid4()}.{JOB}.e1"


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_an_empty_image_names_its_parts(directory: Directory, tmp_path: Path) -> None:
    made = name()
    qcow2.create(directory, made, 10 * GIB)
    data = (tmp_path / made).read_bytes()
    magic, version, backing, _, bits, size = struct.unpack_from(">4sIQIIQ", data)
    assert (magic, version, backing, bits, size) == (b"QFI\xfb", 3, 0, 16, 10 * GIB)
    assert len(data) == 4 * 65536
    assert qcow2.size_bytes(directory, made) == 10 * GIB
    assert qcow2.backing_name(tmp_path / made) is None


def test_it_occupies_three_blocks(directory: Directory, tmp_path: Path) -> None:
    made = name()
    qcow2.create(directory, made, 1024 * GIB)
    assert (tmp_path / made).stat().st_blocks * 512 <= 4 * 4096


@pytest.mark.parametrize(("size_gib", "clusters"), [(1, 4), (4096, 4), (4097, 5), (20480, 8)])
def test_the_first_table_grows_with_the_size(directory: Directory, tmp_path: Path, size_gib: int, clusters: int) -> None:
    made = name()
    qcow2.create(directory, made, size_gib * GIB)
    data = (tmp_path / made).read_bytes()
    assert len(data) == clusters * 65536
    counts = struct.unpack_from(f">{clusters + 1}H", data, 2 * 65536)
    assert counts == (*[1] * clusters, 0)


def test_an_overlay_names_its_backing_file_without_a_folder(directory: Directory, tmp_path: Path) -> None:
    base, overlay = name(), name()
    qcow2.create(directory, base, GIB)
    qcow2.create(directory, overlay, GIB, base)
    assert qcow2.backing_name(tmp_path / overlay) == base


def test_an_overlay_upon_nothing_is_refused(directory: Directory) -> None:
    with pytest.raises(errors.ObjectMissing):
        qcow2.create(directory, name(), GIB, name())
    assert list(directory.objects()) == []


def test_a_leftover_of_the_same_call_is_written_anew(directory: Directory, tmp_path: Path) -> None:
    made = name()
    (tmp_path / made).write_bytes(b"half")
    qcow2.create(directory, made, GIB)
    assert qcow2.size_bytes(directory, made) == GIB


def test_what_is_no_image_has_no_size(directory: Directory, tmp_path: Path) -> None:
    made = name()
    (tmp_path / made).write_bytes(b"raw bytes of a guest")
    with pytest.raises(errors.DriverError, match="no qcow2 image"):
        qcow2.size_bytes(directory, made)

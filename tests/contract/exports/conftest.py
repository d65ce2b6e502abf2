"""Both formats that the file backend makes: raw on an XFS with reflink, qcow2 on what the machine has."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exports import Host, a_host
from tests.support.filesystems import mounted


@pytest.fixture(scope="session")
def xfs_directory() -> Iterator[Path]:
    """A reflink filesystem."""
    directory = Path(tempfile.mkdtemp(prefix="bz-xfs-"))
    try:
        with mounted("xfs", directory, 300) as point:
            yield point
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory with a short path."""
    directory = Path(tempfile.mkdtemp(prefix="bz-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=["raw", "qcow2"])
def host(request: pytest.FixtureRequest, state: Path) -> Iterator[Host]:
    """A host with images of either format."""
    parent = request.getfixturevalue("xfs_directory") if request.param == "raw" else state
    images = Path(tempfile.mkdtemp(dir=parent, prefix="images-"))
    try:
        with a_host(state, images, request.param) as made:
            yield made
    finally:
        shutil.rmtree(images)


@pytest.fixture
def raw_host(state: Path) -> Iterator[Host]:
    """A host for what does not depend on the format."""
    images = state / "images"
    images.mkdir()
    with a_host(state, images, "raw") as made:
        yield made

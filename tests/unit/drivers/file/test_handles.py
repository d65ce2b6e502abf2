"""Handles: what is read back is what was written, and nothing foreign ever becomes a path."""

import json
import uuid
from typing import Any

import pytest

from breezeblock import errors
from breezeblock.drivers.file.directory import Directory
from breezeblock.drivers.file.handles import LONGEST_CHAIN, Stored, check_depth, stored
from breezeblock.drivers.interface import Call, Token, object_name, parse_object_name

NAME = "0d8f6a52-3c3b-4f0e-9a57-6c1f4f1f7a01.5b1d2c9e-7a44-4c56-8d1e-2f9a3b7c8e02.e12"


def test_a_handle_is_small_json_and_comes_back() -> None:
    deepest = Stored("volume", "qcow2", 16384, tuple([NAME] * LONGEST_CHAIN))
    written = json.dumps(deepest.handle())
    assert len(written) < 4096
    assert stored(json.loads(written)) == deepest


def test_a_chain_that_no_handle_can_hold_says_what_to_do() -> None:
    check_depth([NAME] * LONGEST_CHAIN)
    with pytest.raises(errors.DriverError, match="Detach it"):
        check_depth([NAME] * (LONGEST_CHAIN + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": ["../../etc/shadow"]},
        {"files": [NAME, f"../{NAME}"]},
        {"files": [NAME + "\n"]},
        {"format": "vmdk"},
        {"kind": "backup"},
    ],
)
def test_a_foreign_handle_is_refused(change: dict[str, Any]) -> None:
    handle = {"kind": "volume", "format": "raw", "size_gib": 1, "files": [NAME]} | change
    with pytest.raises(errors.DriverError):
        stored(handle)


@pytest.mark.parametrize("name", ["/etc/passwd", ".fence", NAME.upper(), NAME.replace(".e12", ".e-1"), NAME + "x", ""])
def test_the_directory_gives_no_path_for_a_foreign_name(name: str, tmp_path: Any) -> None:
    with pytest.raises(errors.DriverError):
        Directory(tmp_path).file(name)


def test_names_hold_resource_job_and_epoch() -> None:
    resource, job = str(uuid.uuid4()), str(uuid.uuid4())
    name = object_name(resource, Call(job, {resource: Token(3, 2, 7)}))
    assert parse_object_name(name) == (resource, job, 7)
    with pytest.raises(errors.DriverError):
        object_name("../" + resource, Call(job, {resource: Token(3, 2, 7)}))
    with pytest.raises(errors.DriverError):
        object_name(resource, Call("x/../y", {resource: Token(3, 2, 7)}))

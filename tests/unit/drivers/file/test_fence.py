"""The fence: lower tokens are refused, a torn record loses nothing, and a removed file is no way around the lock."""

import fcntl
import os
import threading
import uuid
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.file.fence import FOLDER, Fences, Switch
from breezeblock.drivers.interface import Call, Token

VOLUME = "0d8f6a52-3c3b-4f0e-9a57-6c1f4f1f7a01"
JOB = str(uuid.uuid4())


def call(term: int, generation: int, epoch: int) -> Call:
    return Call(JOB, {VOLUME: Token(term, generation, epoch)})


@pytest.fixture
def fences(tmp_path: Path) -> Fences:
    made = Fences(tmp_path, lock_seconds=0.1)
    made.setup()
    return made


def enter(fences: Fences, caller: Call) -> None:
    with fences.held(VOLUME, caller):
        pass


@pytest.mark.parametrize("late", [(1, 5, 2), (1, 4, 9), (0, 9, 9)])
def test_a_lower_token_is_refused(fences: Fences, late: tuple[int, int, int]) -> None:
    enter(fences, call(1, 5, 3))
    with pytest.raises(errors.Fenced, match=r"refused token .* already seen 1\.5\.3"):
        enter(fences, call(*late))
    seen = fences.peek(VOLUME)
    assert seen is not None
    assert seen.token == Token(1, 5, 3)


@pytest.mark.parametrize("next_", [(1, 5, 3), (1, 5, 4), (1, 6, 1), (2, 1, 1)])
def test_the_same_or_a_higher_token_enters(fences: Fences, next_: tuple[int, int, int]) -> None:
    enter(fences, call(1, 5, 3))
    enter(fences, call(*next_))
    seen = fences.peek(VOLUME)
    assert seen is not None
    assert seen.token == Token(*next_)


def test_the_token_is_stored_before_the_effect(fences: Fences) -> None:
    with fences.held(VOLUME, call(1, 1, 1)):
        seen = fences.peek(VOLUME)
    assert seen is not None
    assert (seen.token, seen.job_id) == (Token(1, 1, 1), JOB)


def test_a_new_fence_is_on_the_disk_with_its_name(fences: Fences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr("os.fsync", noting)
    with fences.held(VOLUME, call(1, 1, 1)):
        assert synced == [(tmp_path / FOLDER).stat().st_ino]
    with fences.held(VOLUME, call(1, 1, 2)):
        assert len(synced) == 1


def test_a_switch_outlives_later_tokens_until_the_next_switch(fences: Fences) -> None:
    with fences.held(VOLUME, call(1, 1, 1)) as held:
        held.store(Switch("a", ("b", "a")))
    with fences.held(VOLUME, call(1, 2, 1)) as held:
        assert held.switch == Switch("a", ("b", "a"))
        held.store(Switch("b", ("c", "b", "a")))
    seen = fences.peek(VOLUME)
    assert seen is not None
    assert seen.switch is not None
    assert seen.switch.applied(["b", "a"]) == ("c", "b", "a")
    assert seen.switch.applied(["a"]) == ("a",)


def test_a_held_fence_is_waited_for_and_then_busy(fences: Fences) -> None:
    with fences.held(VOLUME, call(1, 1, 1)), pytest.raises(errors.ObjectBusy):
        enter(fences, call(1, 1, 2))


def test_who_waits_enters_when_the_holder_leaves(tmp_path: Path) -> None:
    fences = Fences(tmp_path, lock_seconds=10)
    fences.setup()
    waits = threading.Thread(target=enter, args=(fences, call(1, 1, 2)))
    with fences.held(VOLUME, call(1, 1, 1)):
        waits.start()
    waits.join(10)
    seen = fences.peek(VOLUME)
    assert seen is not None
    assert seen.token.epoch == 2


def test_a_torn_write_leaves_the_record_before_it(fences: Fences, tmp_path: Path) -> None:
    enter(fences, call(1, 1, 1))
    enter(fences, call(1, 2, 1))
    before = fences.peek(VOLUME)
    enter(fences, call(1, 3, 1))
    file = tmp_path / FOLDER / VOLUME
    whole = file.read_bytes()
    newest = 1 if whole[4096:].find(b"[1, 3, 1]") >= 0 else 0
    file.write_bytes(whole[: newest * 4096] + whole[newest * 4096 :][:60] + bytes(4036) + whole[(newest + 1) * 4096 :])
    assert fences.peek(VOLUME) == before


def test_a_fence_that_is_damaged_is_no_fence_that_is_open(fences: Fences, tmp_path: Path) -> None:
    (tmp_path / FOLDER / VOLUME).write_bytes(b"nonsense")
    with pytest.raises(errors.DriverError, match="damaged"):
        enter(fences, call(9, 9, 9))


def test_a_fence_that_was_never_written_counts_as_none(fences: Fences, tmp_path: Path) -> None:
    (tmp_path / FOLDER / VOLUME).touch()
    assert fences.peek(VOLUME) is None
    assert [(found.job_id, found.epoch) for found in fences.objects()] == [("", 0)]
    enter(fences, call(1, 1, 1))


def test_who_locked_a_file_that_the_collector_removed_tries_again(fences: Fences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector comes between the open and the lock: two callers must never hold two files."""
    file = tmp_path / FOLDER / VOLUME
    enter(fences, call(1, 1, 1))
    lock = fcntl.flock
    collected: list[int] = []

    def collect_first(descriptor: int, operation: int) -> None:
        if not collected:
            collected.append(descriptor)
            file.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", collect_first)
    enter(fences, call(1, 1, 2))
    assert collected
    seen = fences.peek(VOLUME)
    assert seen is not None
    assert seen.token.epoch == 2


def test_the_collector_leaves_a_held_fence(fences: Fences) -> None:
    with fences.held(VOLUME, call(1, 1, 1)):
        fences.remove(VOLUME)
        assert fences.volumes() == {VOLUME}
    fences.remove(VOLUME)
    fences.remove(VOLUME)
    assert fences.volumes() == frozenset()


def test_a_delete_is_refused_after_a_newer_change_and_leaves_no_fence(fences: Fences) -> None:
    with fences.not_older(VOLUME, call(1, 1, 1)):
        pass
    assert fences.volumes() == frozenset()
    enter(fences, call(1, 2, 1))
    with pytest.raises(errors.Fenced), fences.not_older(VOLUME, call(1, 1, 1)):
        raise AssertionError("a late delete got in")
    with fences.not_older(VOLUME, call(1, 2, 1)):
        pass


@pytest.mark.parametrize("name", ["../escape", "", "x", VOLUME.upper(), VOLUME + "/", VOLUME + "\n"])
def test_only_an_id_becomes_a_path(fences: Fences, name: str) -> None:
    with pytest.raises(errors.DriverError), fences.held(name, Call(JOB, {name: Token(1, 1, 1)})):
        raise AssertionError("entered")

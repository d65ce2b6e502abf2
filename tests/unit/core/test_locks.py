"""Named locks on this machine: exclusion between threads, order, time limits, names."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.config import CoordinationSettings
from breezeblock.core.locks import Locks, encoded
from breezeblock.errors import BadConfiguration, LockHeld, LockLost, LocksAway


@pytest.fixture
def locks(tmp_path: Path) -> Iterator[Locks]:
    locks = Locks(CoordinationSettings(backend_url=f"file://{tmp_path}/locks"), "me")
    yield locks
    locks.close()


def test_one_holder_at_a_time(locks: Locks) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with locks.lock("volume-1", timeout=10):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1] * 80


def test_several_names_are_taken_once_each_in_one_order(locks: Locks) -> None:
    with locks.lock("b", "a", "b", timeout=1) as held:
        assert held.names == ("a", "b")
        held.verify()


def test_opposite_orders_do_not_wait_for_each_other(locks: Locks) -> None:
    done = []

    def work(*names: str) -> None:
        for _ in range(30):
            with locks.lock(*names, timeout=10):
                done.append(names)

    threads = [threading.Thread(target=work, args=names) for names in (("a", "b", "c"), ("c", "b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(done) == 60


def test_a_lock_that_somebody_keeps_is_an_error_in_time_and_leaves_the_others_free(locks: Locks, tmp_path: Path) -> None:
    other = Locks(CoordinationSettings(backend_url=f"file://{tmp_path}/locks"), "other")
    with locks.lock("b", timeout=1):
        with pytest.raises(LockHeld, match=r"lock b for 0\.05 seconds"), in_thread(other, "a", "b"):
            pass
        with in_thread(other, "a"):
            pass
    other.close()


class in_thread:  # noqa: N801 - reads as a statement
    """Take and give back in another thread; what goes wrong there is raised here."""

    def __init__(self, locks: Locks, *names: str) -> None:
        self.locks, self.names = locks, names
        self.error: LockHeld | None = None

    def __enter__(self) -> None:
        def work() -> None:
            try:
                with self.locks.lock(*self.names, timeout=0.05):
                    pass
            except LockHeld as error:
                self.error = error

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(5)
        if self.error:
            raise self.error

    def __exit__(self, *exception: object) -> None: ...


def test_a_thread_that_holds_locks_cannot_ask_for_more(locks: Locks) -> None:
    with locks.lock("a", timeout=1), pytest.raises(RuntimeError, match="all names at once"), locks.lock("b", timeout=1):
        pass
    with locks.lock("b", timeout=1):
        pass


def test_an_error_in_the_block_gives_the_lock_back(locks: Locks) -> None:
    with pytest.raises(KeyError), locks.lock("a", timeout=1):
        raise KeyError("x")
    with locks.lock("a", timeout=1):
        pass


def test_a_lock_that_was_lost_is_said_when_the_block_ends(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with locks.lock("a", timeout=1) as held:
            (lock,) = held._locks.values()
            monkeypatch.setattr(lock, "is_still_owner", lambda: False)

    with pytest.raises(LockLost, match="Lock a was lost"):
        work()


def test_local_locks_say_that_they_are_not_distributed(locks: Locks) -> None:
    assert not locks.distributed


def test_no_thread_beats_for_locks_that_the_kernel_keeps(locks: Locks) -> None:
    with locks.lock("a", timeout=1):
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("locks")] == []


def test_an_unknown_service_is_refused_at_once() -> None:
    with pytest.raises(BadConfiguration, match="no driver for 'gopher'"):
        Locks(CoordinationSettings(backend_url="gopher://user:hush@host/"), "me")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    locks = Locks(CoordinationSettings(backend_url=f"file://{tmp_path}/file/locks", initial_reconnect_backoff=0.01), "me")
    with pytest.raises(LocksAway, match="error opening file"), locks.lock("a", timeout=0.05):
        pass


@pytest.mark.parametrize("name", ["a/b", "..", ".driver_lock", "x" * 400, "ü/" * 100, "groups", "tmp"])
def test_any_name_makes_a_lock_inside_the_folder(locks: Locks, tmp_path: Path, name: str) -> None:
    with locks.lock(name, timeout=1):
        assert (tmp_path / "locks" / encoded(name).decode()).is_file()


def test_names_stay_distinct() -> None:
    names = ["a/b", "a%2Fb", "a b", "x" * 400, "x" * 401, ".a", "%2Ea"]
    assert len({encoded(name) for name in names}) == len(names)

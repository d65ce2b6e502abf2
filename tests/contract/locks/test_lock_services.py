"""What every lock service must do, with real processes: files of this machine, and a real Redis."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from breezeblock.config import CoordinationSettings
from breezeblock.core.locks import Locks
from breezeblock.errors import LockHeld, LockLost, LocksAway
from tests.support.redis import Redis, redis_server

PROCESSES, ROUNDS = 8, 12
TIME_TO_LIVE = 2
"""Seconds after which Redis forgets a lock without heartbeats."""
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    directory = tmp_path / "redis"
    directory.mkdir()
    with redis_server(directory) as server:
        yield server


def of_redis(server: Redis) -> CoordinationSettings:
    url = f"redis://127.0.0.1:{server.port}?lock_timeout={TIME_TO_LIVE}&socket_timeout=10"
    return CoordinationSettings(backend_url=url, heartbeat=0.2, initial_reconnect_backoff=0.05, max_reconnect_backoff=0.2)


@pytest.fixture(params=["file", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> CoordinationSettings:
    if request.param == "redis":
        return of_redis(request.getfixturevalue("redis"))
    return CoordinationSettings(backend_url=f"file://{tmp_path}/locks")


def count_up(settings: CoordinationSettings, member: int, file: Path) -> None:
    """Add to a number in a file, which without a lock loses additions."""
    locks = Locks(settings, f"member-{member}")
    for _ in range(ROUNDS):
        names = ("counter", "other") if member % 2 else ("other", "counter")
        with locks.lock(*names, timeout=60):
            number = int(file.read_text())
            time.sleep(0.002)  # so that others would come in between
            file.write_text(str(number + 1))
    locks.close()


def test_eight_processes_exclude_each_other(settings: CoordinationSettings, tmp_path: Path) -> None:
    file = tmp_path / "counter"
    file.write_text("0")
    processes = [FORK.Process(target=count_up, args=(settings, member, file)) for member in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert file.read_text() == str(PROCESSES * ROUNDS)


def hold(settings: CoordinationSettings, ready: Connection) -> None:
    """Hold a lock until killed."""
    with Locks(settings, "holder").lock("precious", timeout=10):
        ready.send("held")
        signal.pause()


@pytest.fixture
def holder(settings: CoordinationSettings) -> Iterator[int]:
    """The pid of a process that holds the lock ``precious``."""
    ready, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=hold, args=(settings, theirs))
    process.start()
    assert ready.poll(20)
    assert process.pid
    yield process.pid
    process.kill()
    process.join(10)


def test_a_lock_outlasts_its_time_to_live_while_its_holder_lives_and_is_freed_by_its_death(
    settings: CoordinationSettings, holder: int
) -> None:
    locks = Locks(settings, "next")
    with pytest.raises(LockHeld, match="precious"), locks.lock("precious", timeout=1.3 * TIME_TO_LIVE if locks.distributed else 0.1):
        pass
    os.kill(holder, signal.SIGKILL)
    killed = time.monotonic()
    with locks.lock("precious", timeout=10):
        assert time.monotonic() - killed < (2 * TIME_TO_LIVE if locks.distributed else 1)
    locks.close()


def test_each_backend_may_have_its_own_lock_service(tmp_path: Path, redis: Redis) -> None:
    with ExitStack() as stack:
        local, shared = Locks(CoordinationSettings(backend_url=f"file://{tmp_path}/locks"), "me"), Locks(of_redis(redis), "me")
        stack.callback(local.close)
        stack.callback(shared.close)
        assert (local.distributed, shared.distributed) == (False, True)
        with local.lock("volume", timeout=1), shared.lock("volume", timeout=1):
            pass


def test_a_service_that_is_away_is_said_in_time_and_its_return_is_noticed(redis: Redis) -> None:
    locks = Locks(of_redis(redis), "me")
    redis.stop()
    began = time.monotonic()
    with pytest.raises(LocksAway, match="redis"), locks.lock("a", timeout=0.5):
        pass
    assert time.monotonic() - began < 5
    redis.start()
    with locks.lock("a", timeout=10) as held:
        held.verify()
    locks.close()


def test_a_lock_that_the_service_lost_is_said(redis: Redis) -> None:
    locks = Locks(of_redis(redis), "me")

    def work() -> None:
        with locks.lock("a", timeout=10):
            redis.stop()
            redis.start()

    with pytest.raises(LockLost, match="given it up"):
        work()
    locks.close()

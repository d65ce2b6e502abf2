"""Hints between hosts on a real PostgreSQL: another host is another state directory."""

import dataclasses
import time
from pathlib import Path

import psycopg
import pytest

from breezeblock.config import DatabaseSettings, Settings
from breezeblock.core.wake import WakeListener, Waker
from breezeblock.store.connect import open_listener, open_notifier
from breezeblock.store.notify import Listener, Notifier
from tests.support.servers import own_server

POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def host(path: Path, url: str) -> Settings:
    return dataclasses.replace(Settings(), state_path=path, database=DatabaseSettings(connection=url))


def wait_for(listener: WakeListener, queue: str, seconds: float = 10) -> float:
    """Seconds until the hint came."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if queue in listener.wait(1):
            return time.monotonic() - began
    raise AssertionError(f"no hint for {queue}")


@POSTGRESQL
def test_a_hint_reaches_another_host_and_only_those_concerned(database: str, tmp_path: Path) -> None:
    here, there = host(tmp_path / "here", database), host(tmp_path / "there", database)
    waker = Waker(here.state_path, open_notifier(here, "here"))
    with (
        WakeListener(there.state_path, "one", {"q1", "q2"}, open_listener(there, "one", {"q1", "q2"})) as one,
        WakeListener(there.state_path, "two", {"q2"}, open_listener(there, "two", {"q2"})) as two,
    ):
        assert one.wait(0) == {"q1", "q2"}  # what was missed before it connected
        assert two.wait(0) == {"q2"}
        for _ in range(20):
            waker.wake(["q1"])
        assert wait_for(one, "q1") < 5
        assert two.wait(0.1) == frozenset()
        waker.wake(["q2"])
        wait_for(one, "q2")
        wait_for(two, "q2")
    waker.close()


def test_a_server_that_restarts_is_found_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with own_server("postgresql") as server:
        settings = DatabaseSettings(connection=server.url("postgres"))
        notifier, hears = Notifier(settings, "sender"), Listener(settings, "hearer", {"q"})
        with WakeListener(tmp_path, "one", {"q"}, hears) as listener:
            assert listener.wait(0) == {"q"}
            server.kill()
            assert listener.wait(5) == frozenset()
            with pytest.raises(psycopg.Error):
                notifier(["q"])
            assert listener.wait(0.01) == frozenset()
            server.start()
            assert wait_for(listener, "q") < 10  # it may have missed one
            notifier(["q"])
            assert wait_for(listener, "q") < 5
        notifier.close()
    assert "wake-up hints of other hosts do not arrive" in caplog.text


@pytest.mark.parametrize("database", ["sqlite", "mysql"], indirect=True)
def test_other_databases_have_no_hints_between_hosts(database: str, tmp_path: Path) -> None:
    settings = host(tmp_path, database)
    assert open_notifier(settings, "x") is None
    assert open_listener(settings, "x", {"q"}) is None

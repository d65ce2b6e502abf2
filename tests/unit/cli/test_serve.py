"""What ``serve`` composes and says, without running it."""

import dataclasses
import socket
from collections.abc import Callable
from typing import Any

import pytest

from breezeblock.cli import serve
from breezeblock.config import ApiSettings, BackendOptions, BackendSettings, CoordinationSettings, Settings
from breezeblock.errors import BadConfiguration

BACKENDS = tuple(BackendSettings(name, "here", BackendOptions(), CoordinationSettings(), {}) for name in ("one", "two"))
SETTINGS = Settings(backends=BACKENDS)


def bound(bind: str, public: str = "") -> Settings:
    return dataclasses.replace(SETTINGS, api=ApiSettings(bind=bind, public_endpoint=public))


def test_one_worker_per_backend_and_the_api_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, tuple[str, ...]]] = []

    def worker(_: Settings, role: str, backends: tuple[str, ...]) -> int:
        calls.append((role, backends))
        return 0

    def never(*_: object) -> Any:
        raise AssertionError

    parts = serve.Parts(migrate=never, load=never, api=never, worker=worker, exports=never)
    children = serve.children(SETTINGS, parts)
    assert [(child.name, child.stage) for child in children] == [("api", 0), ("scheduler", 1), ("volume:one", 1), ("volume:two", 1)]
    with monkeypatch.context() as patched:
        patched.setattr(serve, "_log_as", lambda *_: None)
        assert [child.run(lambda: None) for child in children[1:]] == [0, 0, 0]
    assert calls == [("scheduler", ()), ("volume", ("one",)), ("volume", ("two",))]


@pytest.mark.parametrize(
    ("bind", "public", "expected"),
    [
        ("127.0.0.1:8776", "", "http://127.0.0.1:8776/v3"),
        ("0.0.0.0:8776", "", "http://127.0.0.1:8776/v3"),
        ("[::]:8776", "", "http://[::1]:8776/v3"),
        ("10.1.2.3:1", "", "http://10.1.2.3:1/v3"),
        ("0.0.0.0:1", "https://storage.example/volume/", "https://storage.example/volume/v3"),
    ],
)
def test_the_endpoint_that_clients_are_given(bind: str, public: str, expected: str) -> None:
    assert serve.endpoint(bound(bind, public)) == expected


def test_the_greeting_can_be_copied_into_a_shell() -> None:
    text = serve.greeting(bound("127.0.0.1:9"))
    assert "export OS_AUTH_TYPE=none OS_ENDPOINT=http://127.0.0.1:9/v3" in text
    assert "one (file), two (file)" in text
    assert str(SETTINGS.state_path) in text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "No export was running"), (1, "1 connected export goes on running"), (3, "3 connected exports go on running")]
)
def test_the_farewell_says_what_goes_on(count: int, text: str) -> None:
    said = serve.farewell(SETTINGS, count)
    assert text in said
    assert ("breezeblock exports stop" in said) == (count > 0)


def test_port_0_becomes_a_free_port() -> None:
    chosen = serve._with_port(bound("127.0.0.1:0")).api.bind
    assert chosen.startswith("127.0.0.1:")
    assert not chosen.endswith(":0")


def test_a_port_that_shares_itself_is_still_taken() -> None:
    """An API's own sockets have SO_REUSEPORT, which would let a second service take half of its requests."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BadConfiguration, match="something else listens there"):
            serve._with_port(bound(f"127.0.0.1:{other.getsockname()[1]}"))


@pytest.mark.parametrize("bind", ["203.0.113.1:80", "no.such.host.invalid:80"])
def test_an_address_of_somebody_else_is_said(bind: str) -> None:
    with pytest.raises(BadConfiguration, match=f"bind = {bind}"):
        serve._with_port(bound(bind))


def test_a_migration_that_fails_stops_the_start(tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]) -> None:
    def migrate(_: Settings) -> None:
        raise BadConfiguration(reason="no such database")

    def never(*_: object) -> Any:
        raise AssertionError

    said: list[str] = []
    settings = dataclasses.replace(bound("127.0.0.1:0"), state_path=tmp_path_factory.mktemp("state"))
    parts = serve.Parts(migrate=migrate, load=lambda _: None, api=never, worker=never, exports=never)
    say: Callable[[str], None] = said.append
    assert serve.run(settings, parts, say) == 1
    assert said == ["The database could not be brought up to date; the reason stands above."]
    assert "ERROR db - - breezeblock.cli.serve: The configuration cannot be used: no such database" in capfd.readouterr().err

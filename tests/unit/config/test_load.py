"""Reading configuration: inheritance by backend, clear refusals, the remembered host name."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from oslo_config import cfg

from breezeblock.config import LeaseSettings, Settings, address_of
from breezeblock.config.load import load
from breezeblock.errors import BadConfiguration

DISK = [
    cfg.StrOpt("disk_dir", default="$state_path/backends/$backend"),
    cfg.IntOpt("disk_depth", default=3, min=1),
    cfg.ListOpt("disk_tags", default=[]),
]
OTHER = [cfg.StrOpt("disk_depth", default="deep"), cfg.StrOpt("other_password", secret=True, default="")]


def drivers(name: str) -> Sequence[cfg.Opt]:
    """Two drivers that disagree about the type of one option."""
    known: dict[str, Sequence[cfg.Opt]] = {"file": DISK, "disk": DISK, "other": OTHER}
    if name not in known:
        raise BadConfiguration(reason=f"there is no driver {name!r}")
    return known[name]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Settings]:
    """Load one file of the given text."""

    def load_text(text: str) -> Settings:
        file = tmp_path / "breezeblock.conf"
        file.write_text(text)
        return load([file], drivers, state_path=tmp_path / "state", environment=False)

    return load_text


def test_without_any_file_there_is_one_file_backend_in_the_state_directory(tmp_path: Path) -> None:
    settings = load([], drivers, state_path=tmp_path, environment=False)
    (backend,) = settings.backends
    assert (backend.name, backend.driver, backend.common.volume_backend_name) == ("local", "file", "local")
    assert backend.driver_options["disk_dir"] == f"{tmp_path}/backends/local"
    assert settings.database.connection == f"sqlite:///{tmp_path}/breezeblock.sqlite"
    assert backend.coordination.backend_url == f"file://{tmp_path}/locks"
    assert settings.warnings == ()


def test_the_protocols_defaults(tmp_path: Path) -> None:
    settings = load([], drivers, state_path=tmp_path, environment=False)
    assert (settings.lease.lease_seconds, settings.lease.heartbeat, settings.lease.margin) == (10.0, 2.0, 1.0)
    assert (settings.worker.slots_normal, settings.worker.slots_sync, settings.worker.slots_long) == (8, 4, 2)
    assert (settings.worker.orphan_timeout, settings.worker.max_attempts, settings.api.workers) == (300.0, 3, 2)
    assert (settings.quota.volumes, settings.quota.gigabytes, settings.quota.per_volume_gigabytes) == (10, 1000, -1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"a": 3, "b": 3}),
        ("disk_depth = 5", {"a": 5, "b": 5}),
        ("disk_depth = 5\n[backend_defaults]\ndisk_depth = 6", {"a": 6, "b": 6}),
        ("disk_depth = 5\n[backend_defaults]\ndisk_depth = 6\n[a]\ndisk_depth = 7", {"a": 7, "b": 6}),
        ("disk_depth = 5\n[b]\ndisk_depth = 3", {"a": 5, "b": 3}),
    ],
)
def test_a_drivers_option_is_inherited(read: Callable[[str], Settings], text: str, expected: dict[str, int]) -> None:
    settings = read(f"[DEFAULT]\nenabled_backends = a, b\n{text}\n[a]\nvolume_driver = disk\n[b]\n")
    assert {backend.name: backend.driver_options["disk_depth"] for backend in settings.backends} == expected


def test_common_options_and_the_lock_service_are_inherited_and_overridden(read: Callable[[str], Settings]) -> None:
    settings = read(
        "[DEFAULT]\nenabled_backends = a, b\nreserved_percentage = 4\n[backend_defaults]\nvolume_backend_name = shared-$backend\n"
        "[coordination]\nbackend_url = redis://one\nheartbeat = 3\n"
        "[a]\ncoordination_backend_url = file:///elsewhere\n[b]\nreserved_percentage = 9\n"
    )
    a, b = settings.backends
    assert (a.common.reserved_percentage, b.common.reserved_percentage) == (4, 9)
    assert (a.common.volume_backend_name, b.common.volume_backend_name) == ("shared-a", "shared-b")
    assert (a.coordination.backend_url, b.coordination.backend_url) == ("file:///elsewhere", "redis://one")
    assert (a.coordination.heartbeat, b.coordination.heartbeat) == (3.0, 3.0)


def test_two_drivers_may_give_one_name_two_types(read: Callable[[str], Settings]) -> None:
    settings = read("[DEFAULT]\nenabled_backends = a, b\n[a]\nvolume_driver = disk\n[b]\nvolume_driver = other\n")
    assert [backend.driver_options["disk_depth"] for backend in settings.backends] == [3, "deep"]


def test_lists_are_frozen(read: Callable[[str], Settings]) -> None:
    assert read("[local]\ndisk_tags = x, y\n").backend("local").driver_options["disk_tags"] == ("x", "y")


def test_what_nobody_reads_is_named(read: Callable[[str], Settings], tmp_path: Path) -> None:
    settings = read("[DEFAULT]\nenabled_backends = a\ndebugg = true\n[a]\ndisk_dept = 4\n[old]\nx = 1\n[lease]\nleese = 3\n")
    file = tmp_path / "breezeblock.conf"
    assert settings.warnings == (
        f"{file}: option debugg of section [DEFAULT] is read by nothing",
        f"{file}: option disk_dept of section [a] is read by nothing",
        f"{file}: section [old] is read by nothing; enabled_backends is a",
        f"{file}: option leese of section [lease] is read by nothing",
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[api]\nworkers = none\n", ["[api]", "breezeblock.conf", "workers = 'none'", "at least 1"]),
        ("[local]\ndisk_depth = 0\n", ["[local]", "breezeblock.conf", "disk_depth = '0'", "at least 1"]),
        ("[backend_defaults]\ndisk_depth = x\n", ["[backend_defaults]", "disk_depth = 'x'", "integer"]),
        ("[DEFAULT]\nauth_strategy = kerberos\n", ["auth_strategy = 'kerberos'", "one of 'none'"]),
        ("[DEFAULT]\nenabled_backends = a\n", ["enabled_backends names 'a'", "no section [a]"]),
        ("[DEFAULT]\nenabled_backends = a, a\n[a]\n", ["'a' stands there twice"]),
        ("[DEFAULT]\nenabled_backends = api\n[api]\n", ["'api' cannot name a backend"]),
        ("[DEFAULT]\nenabled_backends = a@b\n[a@b]\n", ["'a@b' cannot name a backend"]),
        ("[local]\nvolume_driver = floppy\n", ["no driver 'floppy'"]),
        ("[DEFAULT]\nhost = a#b\n", ["host = 'a#b'"]),
        ("[api]\nbind = 8776\n", ["bind = '8776'", "HOST:PORT"]),
        ("what is this\n", ["breezeblock.conf", "not a configuration file"]),
    ],
)
def test_a_wrong_value_is_refused_with_file_section_option_and_what_is_allowed(
    read: Callable[[str], Settings], text: str, parts: list[str]
) -> None:
    with pytest.raises(BadConfiguration) as caught:
        read(text)
    assert [part for part in parts if part not in caught.value.message] == []


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        load([tmp_path / "nowhere.conf"], drivers, state_path=tmp_path, environment=False)


@pytest.mark.parametrize(
    ("lease", "fine"),
    [
        (LeaseSettings(), True),
        (LeaseSettings(lease_seconds=9.0), False),
        (LeaseSettings(heartbeat=2.4), False),
        (LeaseSettings(statement_timeout=3.0), False),
        (LeaseSettings(statement_timeout=2.9), True),
        (LeaseSettings(margin=2.0), False),
        (LeaseSettings(poll=1.01), False),
    ],
)
def test_the_leases_inequalities(lease: LeaseSettings, *, fine: bool) -> None:
    assert (lease.faults() == []) == fine


def test_a_lease_that_is_too_short_is_refused_with_its_numbers(read: Callable[[str], Settings]) -> None:
    with pytest.raises(BadConfiguration, match=r"3\*2 \+ 2 = 8 is not less than 8 - 1 = 7"):
        read("[lease]\nlease_seconds = 8\npoll = 0.5\n")


def test_the_host_name_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "first")
    assert load([], drivers, state_path=tmp_path, environment=False).host == "first"
    monkeypatch.setattr(socket, "gethostname", lambda: "second")
    again = load([], drivers, state_path=tmp_path, environment=False)
    assert (again.host, again.backends[0].queue, again.warnings) == ("first", "volume:first@local", ())


def test_a_configured_host_wins_and_says_that_it_left_the_old_one(read: Callable[[str], Settings]) -> None:
    assert read("[DEFAULT]\nhost = one\n").warnings == ()
    settings = read("[DEFAULT]\nhost = two\n")
    assert settings.host == "two"
    assert "says 'one'" in settings.warnings[0]


def test_later_files_and_the_environment_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "1.conf", tmp_path / "2.conf"
    first.write_text("[api]\nworkers = 3\nthreads = 5\n")
    second.write_text("[api]\nworkers = 4\n")
    monkeypatch.setenv("OS_QUOTA__VOLUMES", "77")
    settings = load([first, second], drivers, state_path=tmp_path)
    assert (settings.api.workers, settings.api.threads, settings.quota.volumes) == (4, 5, 77)


def test_secrets_are_not_in_the_text_of_settings(read: Callable[[str], Settings]) -> None:
    settings = read("[database]\nconnection = postgresql+psycopg://me:pass$$word@db/x\n[coordination]\nbackend_url = redis://:hush@r\n")
    assert settings.database.connection == "postgresql+psycopg://me:pass$word@db/x"
    assert "word" not in repr(settings)
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("bind", "expected"), [("127.0.0.1:8776", ("127.0.0.1", 8776)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))]
)
def test_addresses(bind: str, expected: tuple[str, int]) -> None:
    assert address_of(bind) == expected


@pytest.mark.parametrize("bind", ["", ":80", "::1:80", "host:", "host:99999", "host:-1", "[h]:1", "host"])
def test_addresses_that_are_none(bind: str) -> None:
    with pytest.raises(BadConfiguration):
        address_of(bind)

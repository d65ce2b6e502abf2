"""``breezeblock serve`` as real processes: what is killed comes back, what is stopped ends, nothing is left or written elsewhere."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import COMMAND, MIB, Service, alive, await_, pss, running, tree

MOST_MEMORY = 200 * MIB
TOY = (sys.executable, str(Path(__file__).with_name("toy_serve.py")))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """A service that the test starts."""
    with running(Service(tmp_path / "state")) as made:
        yield made


def make_volume(service: Service, seconds: float = 20.0) -> str:
    """Create a volume and wait until it is available."""
    status, body = service.ask("POST", "/volumes", {"volume": {"size": 1}})
    assert status == 202, body
    volume_id: str = body["volume"]["id"]
    await_(lambda: status_of(service, volume_id) == "available", seconds, service.tail)
    return volume_id


def status_of(service: Service, volume_id: str) -> str:
    return str(service.ask("GET", f"/volumes/{volume_id}")[1]["volume"]["status"])


def test_it_starts_serves_and_is_small(fresh: Service, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    fresh.start(healthy=None)
    answered = time.monotonic() - began
    await_(lambda: fresh.health() == 200, 20, fresh.tail)
    make_volume(fresh)
    available = time.monotonic() - began
    memory = {pid: pss(pid) for pid in tree(fresh.pid)}
    with capsys.disabled():
        print(
            f"\nserve: first answer after {answered:.2f} s, first volume after {available:.2f} s; "
            f"{len(memory)} processes, {sum(memory.values()) / MIB:.0f} MiB ({', '.join(f'{size / MIB:.0f}' for size in memory.values())})"
        )
    assert sum(memory.values()) <= MOST_MEMORY
    assert set(fresh.roles()) == {"api", "scheduler", "volume:local"}
    assert fresh.hear(re.compile("export OS_AUTH_TYPE=none (.*)"), 5)[1] == f"OS_ENDPOINT={fresh.url}"


def test_the_supervisor_can_be_forked_at_any_time(service: Service) -> None:
    """One thread, and nothing open that a fork would share but its lock, its terminal and its log."""
    proc = Path(f"/proc/{service.pid}")
    assert [task.name for task in (proc / "task").iterdir()] == [str(service.pid)]
    opened = {Path(os.readlink(link)).name for link in (proc / "fd").iterdir()}  # noqa: PTH115 -- a pipe's name is no path
    assert {name for name in opened if not name.startswith("pipe:")} == {"null", "serve.lock", service.log.name}


def test_whatever_is_killed_comes_back_and_work_goes_on(service: Service) -> None:
    for role in ("api", "scheduler", "volume:local"):
        pid = service.roles()[role]
        os.kill(pid, signal.SIGKILL)
        await_(lambda role=role, pid=pid: service.roles().get(role, pid) != pid, 10, service.tail)  # type: ignore[misc]
        await_(lambda: service.health() == 200, 20, service.tail)
        make_volume(service, 25)
    assert re.search(r"volume:local ended with signal SIGKILL", service.log.read_text())


def test_an_api_worker_that_is_killed_is_replaced(service: Service) -> None:
    api = service.roles()["api"]
    before = tree(api)[1:]
    os.kill(before[0], signal.SIGKILL)
    await_(lambda: len(tree(api)) == len(before) + 1 and before[0] not in tree(api), 10, service.tail)
    assert service.roles()["api"] == api
    await_(lambda: service.health() == 200, 10, service.tail)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_everything_in_time(service: Service, number: int) -> None:
    processes = tree(service.pid)
    began = time.monotonic()
    service.signal(number)
    assert service.wait(20) == 0
    print(f"stopped after {time.monotonic() - began:.2f} s")
    assert [pid for pid in processes if alive(pid)] == []
    assert service.said[-1] == "Breezeblock has stopped. No export was running."


def test_it_comes_back_with_what_it_had(service: Service) -> None:
    volume_id = make_volume(service)
    assert service.stop() == 0
    service.start()
    assert status_of(service, volume_id) == "available"


def test_no_child_outlives_a_killed_supervisor_and_the_next_one_starts_at_once(service: Service) -> None:
    processes = tree(service.pid)
    assert len(processes) >= 6
    service.signal(signal.SIGKILL)
    service.wait(5)
    service.start()
    assert [pid for pid in processes if alive(pid)] == []
    make_volume(service, 25)


def test_a_given_away_daemon_outlives_everything_and_is_spoken_of(fresh: Service) -> None:
    for end in (signal.SIGTERM, signal.SIGKILL):
        fresh.start(healthy=None, command=(*TOY, "daemon"))
        await_((fresh.state / "daemon").exists, 10, fresh.tail)
        daemon = int((fresh.state / "daemon").read_text())
        processes = tree(fresh.pid)
        try:
            fresh.signal(end)
            fresh.wait(20)
            await_(lambda processes=processes: not any(map(alive, processes)), 5)  # type: ignore[misc]
            assert alive(daemon)
        finally:
            os.kill(daemon, signal.SIGKILL)
            (fresh.state / "daemon").unlink()
    assert "1 connected export goes on running" in "\n".join(fresh.said)
    assert f"'breezeblock exports stop --state-dir {fresh.state}' ends them" in "\n".join(fresh.said)


def test_a_crash_loop_is_said_and_the_rest_works(fresh: Service) -> None:
    fresh.start(healthy=None, command=(*TOY, "crash"))
    await_(lambda: "CRASH LOOP: volume:local has ended 4 times in a row, now with exit code 1" in fresh.tail(), 10, fresh.tail)
    assert "The storage backend failed: the disk is on fire" in fresh.tail()
    assert fresh.health() == 200
    assert fresh.stop() == 0


def test_a_second_signal_does_not_wait(fresh: Service) -> None:
    fresh.start(healthy=None, command=(*TOY, "deaf"))
    await_((fresh.state / "deaf").exists, 10, fresh.tail)
    processes = tree(fresh.pid)
    began = time.monotonic()
    fresh.signal(signal.SIGINT)
    await_(lambda: "api" not in fresh.roles(), 10, fresh.tail)
    fresh.signal(signal.SIGINT)
    assert fresh.wait(5) == 1
    assert time.monotonic() - began < 6
    assert [pid for pid in processes if alive(pid)] == []


def test_one_serve_per_state_directory(service: Service) -> None:
    second = subprocess.run(
        [*COMMAND, "serve", "--state-dir", str(service.state), "--bind", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=20,
        env=service.env,
        check=False,
    )
    assert second.returncode == 1
    assert f"{service.state} is served already, by process {service.pid} at {service.url}" in second.stderr
    assert service.health() == 200


def test_a_port_that_is_taken_is_said(service: Service, tmp_path: Path) -> None:
    bind = service.url.removeprefix("http://").removesuffix("/v3")
    second = subprocess.run(
        [*COMMAND, "serve", "--state-dir", str(tmp_path / "other"), "--bind", bind],
        capture_output=True,
        text=True,
        timeout=20,
        env=service.env,
        check=False,
    )
    assert second.returncode == 78
    assert f"bind = {bind}: Address already in use; something else listens there" in second.stderr


def test_nothing_is_written_into_home_temporary_or_working_directory(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("home", "temporary", "here")]
    for place in places:
        place.mkdir()
    env = {"HOME": str(places[0]), "TMPDIR": str(places[1])}
    with running(Service(tmp_path / "state", env=env)) as service:
        service.env.pop("XDG_CACHE_HOME", None)
        service.start(cwd=places[2])
        make_volume(service)
        assert service.stop() == 0
    assert [path for place in places for path in place.rglob("*")] == []


READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
while read -r _ _ _ _ point _; do
    case "$point" in "$1"|/proc*|/sys*|/dev|/dev/pts) ;; *) mount -o remount,bind,ro "$point" 2>/dev/null || true ;; esac
done < /proc/self/mountinfo
if touch /breezeblock-probe 2>/dev/null; then echo "the file system is not read-only" >&2; exit 1; fi
shift
exec "$@"
"""


def test_it_works_where_nothing_but_its_state_directory_can_be_written(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with running(Service(state, wrap=["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(state)])) as service:
        service.start()
        make_volume(service)
        assert service.stop() == 0

"""Late callers, second writers and dead launchers: nobody opens an image that somebody else has open (protocol rules R1, R2, R6)."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.interface import Call, Image, SnapshotSpec, Token, VolumeSpec
from breezeblock.exports import graph
from breezeblock.exports.manager import Exports
from breezeblock.exports.record import take
from breezeblock.exports.values import ExportRow
from tests.support.exports import Host, call, kill, wait_gone
from tests.support.file_backend import file_driver
from tests.support.nbd import Client


def test_a_late_ensure_after_a_removal_starts_nothing(host: Host) -> None:
    volume, image = host.volume()
    late = call(volume, generation=2, epoch=1)
    exports = host.exports()
    exports.ensure(call(volume, generation=2, epoch=2), volume, lambda: image)
    exports.remove(call(volume, generation=3), volume)
    with pytest.raises(errors.Fenced):
        exports.ensure(late, volume, lambda: image)
    with pytest.raises(errors.Fenced):
        exports.ensure(call(volume, generation=2, epoch=9), volume, lambda: image)
    assert not host.live.running(volume)
    assert exports.list() == []


def test_a_late_removal_leaves_a_newer_export_alone(host: Host) -> None:
    volume, image = host.volume()
    exports = host.exports()
    late = call(volume, generation=3, epoch=1)
    exports.ensure(call(volume, generation=2), volume, lambda: image)
    exports.remove(call(volume, generation=3, epoch=2), volume)
    exports.ensure(call(volume, generation=4), volume, lambda: image)
    data = exports.connect_info(volume)["data"]
    with Client(data["socket"], data["export"]) as client:
        for change in (exports.remove, exports.forget):
            with pytest.raises(errors.Fenced):
                change(late, volume)
        with pytest.raises(errors.Fenced):
            exports.withdraw(late, volume, "nbd")
        client.write(0, b"k" * 512)
        assert client.read(0, 512) == b"k" * 512


def test_a_drivers_token_fences_late_exports_and_the_reverse(host: Host) -> None:
    volume, image = host.volume()
    exports, live = host.exports(), host.live
    with live.offline(volume, Token(1, 5, 1)):
        pass
    with pytest.raises(errors.Fenced):
        exports.ensure(call(volume, generation=4), volume, lambda: image)
    exports.ensure(call(volume, generation=6), volume, lambda: image)
    for late in (
        lambda: live.resize(volume, 2 * image.size_bytes, Token(1, 5, 2)),
        lambda: live.switch_to_overlay(volume, host.overlay(image, "late"), Token(1, 5, 2)),
        lambda: live.offline(volume, Token(1, 5, 2)).__enter__(),
    ):
        with pytest.raises(errors.Fenced):
            late()
    assert exports.connect_info(volume)["data"]["size_bytes"] == image.size_bytes


def test_the_driver_is_asked_for_the_image_while_no_other_daemon_and_no_driver_can_have_it(host: Host) -> None:
    volume, image = host.volume()
    held: list[bool] = []

    def source() -> Image:
        free = take(host.home(volume).lock) if host.home(volume).directory.exists() else None
        held.append(free is None)
        if free is not None:
            os.close(free)
        return image

    host.exports().ensure(call(volume), volume, source)
    host.kill_all()
    assert held[-1] is True
    held.clear()
    row = ExportRow(volume, "host-a", host.boot_id, 2, {"version": 1, "services": ["nbd-rw"], "address": None}, source)
    assert host.exports().rebuild([row]) == {}
    assert held == [True]


def test_a_late_snapshot_of_the_driver_cannot_freeze_an_exported_image_and_the_reverse(host: Host) -> None:
    driver = file_driver(host.images, host.live, file_format="qcow2")
    volume, frozen = str(uuid.uuid4()), str(uuid.uuid4())

    def job(generation: int) -> Call:
        one = call(volume, generation)
        return Call(one.job_id, {**one.tokens, frozen: one.token(volume)})

    handle = driver.create(call(volume), VolumeSpec(volume, 1))
    path = driver.image(handle).path
    host.exports().ensure(call(volume, 6), volume, lambda: driver.image(handle))
    with pytest.raises(errors.Fenced):
        driver.snapshot(job(5), handle, SnapshotSpec(frozen, volume, 1))
    assert driver.image(handle).path == path
    host.exports().remove(call(volume, 7), volume)

    handle = driver.snapshot(job(9), handle, SnapshotSpec(frozen, volume, 1)).source
    with pytest.raises(errors.Fenced):
        host.exports().ensure(call(volume, 8), volume, lambda: driver.image(handle))
    assert not host.live.running(volume)


def test_a_higher_db_term_beats_any_generation(raw_host: Host) -> None:
    volume, image = raw_host.volume()
    raw_host.exports().ensure(call(volume, generation=9), volume, lambda: image)
    with raw_host.live.offline(raw_host.volume()[0]):
        pass
    with pytest.raises(errors.ObjectBusy), raw_host.live.offline(volume, Token(2, 1, 1)):
        pass
    with pytest.raises(errors.Fenced):
        raw_host.exports().remove(call(volume, generation=10), volume)


def test_what_is_worked_on_offline_cannot_be_exported(host: Host) -> None:
    volume, image = host.volume()
    with host.live.offline(volume), pytest.raises(errors.ObjectBusy):
        host.exports().ensure(call(volume), volume, lambda: image)
    host.exports().ensure(call(volume), volume, lambda: image)
    with pytest.raises(errors.ObjectBusy), host.live.offline(volume):
        pass


def lock_and_run(host: Host, volume: str) -> list[str]:
    """A command line that would start a second daemon by hand, and does what the lock lets it do."""
    return ["flock", "--nonblock", "--no-fork", "--conflict-exit-code", "75", str(host.home(volume).lock), "true"]


def test_a_second_daemon_on_the_image_is_refused(host: Host) -> None:
    volume, image = host.volume()
    host.exports().ensure(call(volume), volume, lambda: image)
    pid = host.pid(volume)
    assert subprocess.run(lock_and_run(host, volume), check=False).returncode == 75
    host.exports().ensure(call(volume, 3), volume, lambda: image)
    assert host.pid(volume) == pid

    # Even when every file that could lead to the daemon is gone, the lock is not.
    (host.home(volume).directory / "qmp.sock").unlink()
    host.home(volume).pid.unlink()
    host.home(volume).record.unlink()
    with pytest.raises(errors.ObjectBusy):
        host.exports().ensure(call(volume, 4), volume, lambda: image)
    assert host.pid(volume) == pid


def test_another_image_of_the_volume_is_refused_while_one_is_open(host: Host) -> None:
    volume, image = host.volume()
    host.exports().ensure(call(volume), volume, lambda: image)
    with pytest.raises(errors.ObjectBusy, match="not"):
        host.exports().ensure(call(volume, 3), volume, lambda: host.image("another"))


LAUNCHER = """
import json, sys, os, time
sys.path.insert(0, sys.argv[1])
from tests.support.exports import Host, call
from breezeblock.drivers.interface import Image
from pathlib import Path
asked = json.loads(sys.argv[2])
host = Host(Path(asked["state"]), Path(asked["images"]), asked["format"])
image = Image(asked["path"], asked["format"], asked["size"])
host.exports().ensure(call(asked["volume"]), asked["volume"], lambda: image)
print("exported", flush=True)
time.sleep(60)
"""


def launcher(host: Host, volume: str, path: str, size: int) -> subprocess.Popen[str]:
    """A process that exports a volume and then waits, in a process group of its own."""
    root = Path(__file__).resolve().parents[3]
    asked = {"state": str(host.state), "images": str(host.images), "format": host.format, "volume": volume, "path": path, "size": size}
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(root), json.dumps(asked)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_the_daemon_outlives_its_launcher_and_the_launchers_process_group(host: Host) -> None:
    volume, image = host.volume()
    process = launcher(host, volume, image.path, image.size_bytes)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "exported\n"
        pid = host.pid(volume)
        info = host.exports().connect_info(volume)
        data = info["data"]
        assert os.getsid(pid) == pid != process.pid
        assert os.getpgid(pid) != process.pid
        written = threading.Event()
        over = threading.Event()
        problems: list[BaseException] = []

        def verified_io() -> None:
            try:
                with Client(data["socket"], data["export"]) as client:
                    round_ = 0
                    while not over.is_set():
                        block = round_.to_bytes(8, "big") * 64
                        client.write(512 * (round_ % 100), block)
                        assert client.read(512 * (round_ % 100), 512) == block
                        round_ += 1
                        if round_ % 200 == 0:
                            written.set()
            except BaseException as problem:  # noqa: BLE001 (told to the test's own thread)
                problems.append(problem)
                written.set()

        thread = threading.Thread(target=verified_io)
        thread.start()
        try:
            assert written.wait(20)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            written.clear()
            assert written.wait(20)  # the client went on after the kill
            assert subprocess.run(lock_and_run(host, volume), check=False).returncode == 75
            # Somebody else comes up, and finds the same daemon at the same address.
            host.exports().ensure(call(volume, 3), volume, lambda: image)
            assert host.exports().connect_info(volume) == info
            assert host.pid(volume) == pid
        finally:
            over.set()
            thread.join(20)
        assert not problems, problems
        host.exports().remove(call(volume, 4), volume)
        wait_gone(os.pidfd_open(pid)) if Path(f"/proc/{pid}").exists() else None
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_launcher_killed_between_spawn_and_export_is_taken_over(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, image = host.volume()
    exports = host.exports()

    class Died(BaseException):
        """Stands for SIGKILL: nothing of ours runs after it."""

    def die(*_arguments: object) -> None:
        raise Died

    monkeypatch.setattr(graph, "serve", die)
    monkeypatch.setattr("breezeblock.exports.lifecycle.daemon.stop", lambda _place: None)
    monkeypatch.setattr("breezeblock.exports.lifecycle.store", _store_once())
    with pytest.raises(Died):
        exports.ensure(call(volume, 2, 1), volume, lambda: image)
    monkeypatch.undo()
    pid = host.pid(volume)
    assert Exports.list(exports)[0].running
    exports.ensure(call(volume, 2, 2), volume, lambda: image)
    assert host.pid(volume) == pid
    data = exports.connect_info(volume)["data"]
    with Client(data["socket"], data["export"]) as client:
        assert client.size == image.size_bytes


def _store_once() -> object:
    """The first store is the intent, before the spawn; the later ones are a dying process's clean-up, which a SIGKILL does not do."""
    from breezeblock.exports.record import store

    done: list[None] = []

    def once(*arguments: object) -> None:
        if not done:
            store(*arguments)  # type: ignore[arg-type]
        done.append(None)

    return once


def test_a_daemon_that_does_not_answer_is_killed_by_identity(host: Host) -> None:
    volume, image = host.volume()
    host.exports().ensure(call(volume), volume, lambda: image)
    pid = host.pid(volume)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        # The hint names a stranger: it must be left alone, and the daemon found by its lock.
        host.home(volume).pid.write_text(str(bystander.pid))
        os.kill(pid, signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("breezeblock.exports.qmp.COMMAND_SECONDS", 0.2)
            patch.setattr("breezeblock.exports.daemon.STOP_SECONDS", 0.5)
            host.exports().remove(call(volume, 3), volume)
        assert bystander.poll() is None
        assert not host.live.running(volume)
    finally:
        bystander.kill()
        bystander.wait()
        kill(pid)


def test_a_held_gate_is_waited_for_and_then_told(raw_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, image = raw_host.volume()
    place = raw_host.home(volume)
    place.directory.mkdir(parents=True)
    with place.gate.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr("breezeblock.exports.record.GATE_SECONDS", 0.1)
        with pytest.raises(errors.ObjectBusy, match="another change"):
            raw_host.exports().ensure(call(volume), volume, lambda: image)
        timer = threading.Timer(0.2, lambda: fcntl.flock(other, fcntl.LOCK_UN))
        timer.start()
        monkeypatch.undo()
        raw_host.exports().ensure(call(volume), volume, lambda: image)
        timer.join()


def test_no_secret_of_the_launchers_environment_reaches_the_daemon(raw_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "sesame")
    volume, image = raw_host.volume()
    raw_host.exports().ensure(call(volume), volume, lambda: image)
    with contextlib.suppress(PermissionError):
        assert b"sesame" not in Path(f"/proc/{raw_host.pid(volume)}/environ").read_bytes()

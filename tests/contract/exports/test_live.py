"""Changes under clients that write: switches to an overlay, growth, and the file driver upon both."""

import contextlib
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.file import FileDriver
from breezeblock.drivers.interface import Image, SnapshotSpec, VolumeSpec
from breezeblock.exports import daemon, graph
from tests.support.exports import MIB, SIZE, Host, call
from tests.support.file_backend import file_driver
from tests.support.nbd import Client
from tests.support.writers import BLOCK, SLOTS, Writer, check_prefix


def exported(host: Host, volume: str, image: Image, generation: int = 2) -> tuple[str, str]:
    """Address and name of the volume's NBD export."""
    host.exports().ensure(call(volume, generation), volume, lambda: image)
    data = host.exports().connect_info(volume)["data"]
    return data["socket"], data["export"]


def content(path: str, format: str) -> bytes:
    """The written part of an image that nobody writes any more, whatever lies beneath it."""
    command = ["qemu-img", "dd", "-U", "-f", format, "-O", "raw", f"bs={BLOCK}", f"count={SLOTS}", f"if={path}", "of=/dev/stdout"]
    made = Path(path + ".copy")
    try:
        subprocess.run([*command[:-1], f"of={made}"], check=True, capture_output=True)
        return made.read_bytes().ljust(BLOCK * SLOTS, b"\0")
    finally:
        made.unlink(missing_ok=True)


def test_a_switch_under_writes_freezes_a_prefix_of_them(host: Host) -> None:
    volume, image = host.volume()
    address, name = exported(host, volume, image)
    frozen = [image]
    acknowledged = []
    with Writer(address, name) as writer:
        for number in range(3):
            acknowledged.append(writer.more())
            overlay = host.overlay(frozen[-1], f"overlay-{number}")
            host.live.switch_to_overlay(volume, overlay)
            host.live.switch_to_overlay(volume, overlay)
            frozen.append(Image(overlay, "qcow2", SIZE))
        writer.more()
        assert writer.breaks == 0
        for before, layer in zip(acknowledged, frozen[:-1], strict=True):
            last = check_prefix(content(layer.path, layer.format))
            assert last >= before, "an acknowledged write is missing in the frozen layer"
    host.exports().remove(call(volume, 3), volume)
    assert check_prefix(content(frozen[-1].path, "qcow2")) == writer.acknowledged


def test_an_overlay_upon_another_image_is_refused(host: Host) -> None:
    volume, image = host.volume()
    address, name = exported(host, volume, image)
    with pytest.raises(errors.ObjectBusy, match="lies upon"):
        host.live.switch_to_overlay(volume, host.overlay(host.image("other"), "overlay"))
    with pytest.raises(errors.ObjectMissing):
        host.live.switch_to_overlay(volume, str(host.images / "nothing"))
    with Client(address, name) as client:
        client.write(0, b"z" * 512)


def test_a_switch_that_died_halfway_is_made_again(host: Host) -> None:
    volume, image = host.volume()
    exported(host, volume, image)
    first, second = host.overlay(image, "first"), host.overlay(image, "second")
    node = {"driver": "qcow2", "node-name": "image-1", "backing": None}
    with daemon.connect(host.home(volume)) as qmp:
        qmp.execute("blockdev-add", {**node, "file": {"driver": "file", "node-name": "file-1", "filename": first}})
        assert [layer.path for layer in graph.images(qmp)] == [image.path]
    host.live.switch_to_overlay(volume, second)
    with daemon.connect(host.home(volume)) as qmp:
        assert [layer.path for layer in graph.images(qmp)] == [second, image.path]


def test_without_a_daemon_nothing_is_switched_or_grown(host: Host) -> None:
    volume, image = host.volume()
    with pytest.raises(errors.ObjectMissing):
        host.live.resize(volume, 2 * SIZE)
    with pytest.raises(errors.ObjectMissing):
        host.live.switch_to_overlay(volume, host.overlay(image, "overlay"))


def test_a_client_that_reconnects_goes_on_and_sees_the_new_size(host: Host) -> None:
    volume, image = host.volume()
    address, name = exported(host, volume, image)
    with Writer(address, name) as writer:
        for number in range(1, 4):
            writer.more()
            host.live.resize(volume, SIZE + number * MIB)
            writer.more()
        assert writer.sizes == [SIZE + number * MIB for number in range(4)]
        host.live.resize(volume, SIZE + 3 * MIB)
        host.live.resize(volume, SIZE)
        writer.more()
        assert writer.breaks == 3, "a resize that changes nothing broke the connection"
    with Client(address, name) as client:
        client.write(SIZE + 3 * MIB - 512, b"e" * 512)
        assert client.read(SIZE, 512) == bytes(512)
    assert host.exports().connect_info(volume)["data"]["size_bytes"] == SIZE + 3 * MIB


def test_qemu_with_a_reconnect_delay_never_sees_an_error(host: Host) -> None:
    volume, image = host.volume()
    address, name = exported(host, volume, image)
    options = f"driver=nbd,server.type=unix,server.path={address},export={name},reconnect-delay=20"
    with qemu_io(options) as send:
        assert send("length") == "32 MiB"
        for number in range(50):
            assert send(f"write -q -P {number + 1} 1M 4k") == ""
            assert send(f"read -q -P {number + 1} 1M 4k") == ""
            if number == 25:
                host.live.resize(volume, 2 * SIZE)
        # What a hypervisor's block_resize does: the client looks at the size again.
        assert send("truncate 64M") == ""
        assert send("length") == "64 MiB"
        assert send("write -q -P 7 63M 4k") == ""


@contextlib.contextmanager
def qemu_io(options: str) -> Iterator[Callable[[str], str]]:
    """QEMU's I/O tester with one open image; gives a function that sends one command and returns what it said."""
    process = subprocess.Popen(
        ["qemu-io", "--image-opts", options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    prompt = "qemu-io> "

    def answer() -> str:
        said = ""
        while not said.endswith(prompt):
            letter = process.stdout.read(1)  # type: ignore[union-attr]
            assert letter, f"qemu-io ended: {said}"
            said += letter
        return said.removesuffix(prompt).strip()

    def send(command: str) -> str:
        process.stdin.write(command + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return answer()

    try:
        answer()
        yield send
        process.stdin.close()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_resize_whose_worker_died_halfway_is_completed_by_the_next(host: Host) -> None:
    volume, image = host.volume()
    address, name = exported(host, volume, image)
    with daemon.connect(host.home(volume)) as qmp:
        graph.withdraw(qmp, [graph.Service.NBD_RW])
        qmp.execute("block_resize", {"node-name": graph.TOP, "size": 2 * SIZE})
    host.live.resize(volume, 2 * SIZE)
    with Client(address, name) as client:
        assert client.size == 2 * SIZE


def test_a_file_that_was_grown_already_is_not_cut_to_what_a_late_caller_asks(raw_host: Host) -> None:
    volume, image = raw_host.volume()
    address, name = exported(raw_host, volume, image)
    with Path(image.path).open("r+b") as file:
        file.truncate(3 * SIZE)
    raw_host.live.resize(volume, 2 * SIZE)
    assert Path(image.path).stat().st_size == 3 * SIZE
    with Client(address, name) as client:
        assert client.size == 3 * SIZE


@pytest.fixture
def driver(host: Host) -> FileDriver:
    """The file driver upon the daemons of the host; its probing finds the fixture's format."""
    return file_driver(host.images, host.live)


def test_the_drivers_snapshot_of_a_volume_under_writes_is_crash_consistent(host: Host, driver: FileDriver) -> None:
    volume = str(uuid.uuid4())
    handle = driver.create(call(volume), VolumeSpec(volume, 1))
    assert driver.image(handle).format == host.format
    address, name = exported(host, volume, driver.image(handle))
    snapshots = []
    with Writer(address, name) as writer:
        for generation in range(3, 6):
            before = writer.more()
            snapshot = str(uuid.uuid4())
            job = call(volume, generation)
            done = driver.snapshot(
                type(job)(job.job_id, {**job.tokens, snapshot: job.token(volume)}), handle, SnapshotSpec(snapshot, volume, 1)
            )
            handle = done.source
            snapshots.append((before, done.new))
            writer.more()
        assert writer.breaks == 0
        handle = driver.extend(call(volume, 6), volume, handle, 2)
        writer.more()
        assert writer.sizes[-1] == 2 << 30
        for before, frozen in snapshots:
            shown = driver.image(frozen)
            assert check_prefix(content(shown.path, shown.format)) >= before
    host.exports().remove(call(volume, 7), volume)
    final = driver.image(handle)
    assert check_prefix(content(final.path, final.format)) == writer.acknowledged


def test_writes_after_a_snapshot_that_was_never_published_survive_a_reboot(host: Host, driver: FileDriver) -> None:
    volume, snapshot = str(uuid.uuid4()), str(uuid.uuid4())
    handle = driver.create(call(volume), VolumeSpec(volume, 1))
    address, name = exported(host, volume, driver.image(handle))
    job = call(volume, 3)
    job = type(job)(job.job_id, {**job.tokens, snapshot: job.token(volume)})
    with Writer(address, name) as writer:
        writer.more()
        driver.snapshot(job, handle, SnapshotSpec(snapshot, volume, 1))
        writer.more()
    with Client(address, name) as client:
        client.flush()
    # The worker dies before it publishes, and the host with it: the database knows the old handle only.
    host.kill_all()
    host.boot_id = "boot-2"
    address, name = exported(host, volume, driver.image(handle), generation=4)
    with Client(address, name) as client:
        assert check_prefix(client.read(0, BLOCK * SLOTS)) == writer.acknowledged

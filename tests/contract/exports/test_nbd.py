"""A volume's bytes over NBD, with the stock clients of QEMU and libnbd as initiators."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from breezeblock import errors
from tests.support.exports import MIB, SIZE, Host, a_host, call
from tests.support.nbd import READ_ONLY, Broken, Client


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def test_stock_clients_read_what_they_wrote(host: Host, tmp_path: Path) -> None:
    volume, image = host.volume()
    exports = host.exports()
    exports.ensure(call(volume), volume, lambda: image)
    info = exports.connect_info(volume)
    uri = info["data"]["uri"]
    (told,) = json.loads(run("nbdinfo", "--json", uri))["exports"]
    assert (told["export-name"], told["export-size"], told["is_read_only"]) == (volume, SIZE, False)
    assert [told[can] for can in ("can_flush", "can_trim", "can_multi_conn")] == [True, True, True]

    run("qemu-io", "-f", "raw", "-c", "write -P 0xa5 1M 2M", "-c", "flush", uri)
    run("qemu-io", "-f", "raw", "-c", "read -P 0xa5 1M 2M", "-c", "read -P 0 3M 1M", uri)

    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(SIZE))
    run("nbdcopy", "--flush", str(source), uri)
    run("nbdcopy", uri, str(back))
    assert back.read_bytes() == source.read_bytes()
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(source), uri)

    exports.remove(call(volume, 3), volume)
    run("qemu-img", "compare", "-f", "raw", "-F", host.format, str(source), image.path)


def test_connection_information_names_all_that_a_client_needs(raw_host: Host) -> None:
    volume, image = raw_host.volume()
    raw_host.exports().ensure(call(volume), volume, lambda: image)
    info = raw_host.exports().connect_info(volume)
    socket_path = str(raw_host.home(volume).nbd_socket)
    assert info["driver_volume_type"] == "nbd"
    assert info["data"] == {
        "volume_id": volume,
        "export": volume,
        "access_mode": "rw",
        "size_bytes": SIZE,
        "transport": "unix",
        "socket": socket_path,
        "uri": f"nbd+unix:///{volume}?socket={socket_path}",
        "reconnect_delay_seconds": 30,
        "discard": True,
        "encrypted": False,
    }


def test_a_read_only_export_refuses_writes_and_stands_beside_a_writable_one(host: Host) -> None:
    volume, image = host.volume()
    exports = host.exports()
    exports.ensure(call(volume), volume, lambda: image, read_only=True)
    reading = exports.connect_info(volume, read_only=True)["data"]
    assert reading["access_mode"] == "ro"
    with pytest.raises(errors.ObjectMissing):
        exports.connect_info(volume)
    with Client(reading["socket"], reading["export"]) as client:
        assert client.flags & READ_ONLY
        with pytest.raises(OSError, match="failed"):
            client.write(0, b"x" * 512)

        parameters = exports.ensure(call(volume, 3), volume, lambda: image)
        assert parameters["services"] == ["nbd-ro", "nbd-rw"]
        writing = exports.connect_info(volume)["data"]
        with Client(writing["socket"], writing["export"]) as writer:
            assert not writer.flags & READ_ONLY
            writer.write(0, b"y" * 512)
        assert client.read(0, 512) == b"y" * 512

    assert exports.withdraw(call(volume, 4), volume, "nbd") == {**parameters, "services": ["nbd-ro"]}
    with pytest.raises(Broken):
        Client(writing["socket"], writing["export"])
    with Client(reading["socket"], reading["export"]) as client:
        assert client.read(0, 512) == b"y" * 512
    assert exports.withdraw(call(volume, 5), volume, "nbd", read_only=True) is None
    assert exports.list() == []


def test_a_removed_export_leaves_no_daemon_and_no_address(host: Host) -> None:
    volume, image = host.volume()
    exports = host.exports()
    exports.ensure(call(volume), volume, lambda: image)
    data = exports.connect_info(volume)["data"]
    assert [export.volume_id for export in exports.list()] == [volume]
    assert host.live.running(volume)
    exports.remove(call(volume, 3), volume)
    exports.remove(call(volume, 3), volume)
    assert not host.live.running(volume)
    assert exports.list() == []
    assert not Path(data["socket"]).exists()
    with pytest.raises(errors.ObjectMissing):
        exports.connect_info(volume)
    with host.live.offline(volume):
        pass
    exports.forget(call(volume, 4), volume)
    assert not host.home(volume).directory.exists()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_tcp_addresses_are_each_volumes_own_and_stay(state: Path) -> None:
    (images := state / "images").mkdir()
    first = free_port()
    ports = range(first, first + 40)
    with a_host(state, images, "raw", nbd_address="127.0.0.1", nbd_ports=ports) as host:
        exports = host.exports()
        (one, image), (two, other) = host.volume(), host.volume()
        taken = socket.create_server(("127.0.0.1", first))
        parameters = exports.ensure(call(one), one, lambda: image)
        exports.ensure(call(two), two, lambda: other)
        data, beside = exports.connect_info(one)["data"], exports.connect_info(two)["data"]
        assert data["host"] == "127.0.0.1"
        assert first not in {data["port"], beside["port"]}
        assert data["port"] != beside["port"]
        claims = {path.name for path in (state / "exports" / "ports").iterdir()}
        assert claims == {str(data["port"]), str(beside["port"])}
        assert data["uri"] == f"nbd://127.0.0.1:{data['port']}/{one}"
        assert run("nbdinfo", "--size", data["uri"]).strip() == str(SIZE)

        taken.close()
        host.kill_all()
        assert host.exports().ensure(call(one, 3), one, lambda: image) == parameters
        assert run("nbdinfo", "--size", data["uri"]).strip() == str(SIZE)

        exports.remove(call(one, 4), one)
        assert not (state / "exports" / "ports" / str(data["port"])).is_symlink()
        with pytest.raises(Broken):
            Client(("127.0.0.1", data["port"]), one)


def test_a_port_that_somebody_took_meanwhile_is_an_error_and_never_another_address(state: Path) -> None:
    (images := state / "images").mkdir()
    port = free_port()
    with a_host(state, images, "raw", nbd_address="127.0.0.1", nbd_ports=range(port, port + 1)) as host:
        volume, image = host.volume()
        host.exports().ensure(call(volume), volume, lambda: image)
        second, other = host.volume()
        with pytest.raises(errors.NoSpace):
            host.exports().ensure(call(second), second, lambda: other)
        host.kill_all()
        with socket.create_server(("127.0.0.1", port)), pytest.raises(errors.ObjectBusy, match=str(port)):
            host.exports().ensure(call(volume, 3), volume, lambda: image)
        host.exports().ensure(call(volume, 3), volume, lambda: image)
        assert host.exports().connect_info(volume)["data"]["port"] == port


def test_wildcards_and_names_are_no_address_to_tell_clients(state: Path) -> None:
    for address in ("0.0.0.0", "::", "storage.example"):
        host = Host(state, state, "raw", nbd_address=address)
        with pytest.raises(errors.BadConfiguration, match="nbd_address"):
            host.exports()


def deep(state: Path, length: int) -> Path:
    """A directory under ``state`` whose path has ``length`` bytes."""
    path = state / ("d" * (length - len(str(state)) - 1))
    path.mkdir()
    return path


def test_a_state_directory_of_ninety_bytes_works(state: Path) -> None:
    with a_host(deep(state, 90), state, "raw") as host:
        volume, image = host.volume()
        exports = host.exports()
        exports.ensure(call(volume), volume, lambda: image)
        data = exports.connect_info(volume)["data"]
        run("qemu-io", "-f", "raw", "-c", "write -P 7 0 64k", data["uri"])
        host.live.resize(volume, SIZE + MIB)
        assert run("nbdinfo", "--size", data["uri"]).strip() == str(SIZE + MIB)
        exports.remove(call(volume, 3), volume)


def test_a_longer_one_is_refused_at_start_or_served_by_tcp(state: Path) -> None:
    directory = deep(state, 120)
    with pytest.raises(errors.BadConfiguration, match="too long"):
        Host(directory, state, "raw").exports()
    port = free_port()
    with a_host(directory, state, "raw", nbd_address="127.0.0.1", nbd_ports=range(port, port + 20)) as host:
        volume, image = host.volume()
        host.exports().ensure(call(volume), volume, lambda: image)
        assert run("nbdinfo", "--size", host.exports().connect_info(volume)["data"]["uri"]).strip() == str(SIZE)


def test_a_missing_or_foreign_image_is_said_and_leaves_nothing_running(host: Host) -> None:
    volume, image = host.volume()
    Path(image.path).unlink()
    with pytest.raises(errors.ObjectMissing):
        host.exports().ensure(call(volume), volume, lambda: image)
    Path(image.path).write_bytes(b"no qcow2" * 512)
    if image.format == "qcow2":
        with pytest.raises(errors.DriverError, match="did not start"):
            host.exports().ensure(call(volume), volume, lambda: image)
    assert not host.live.running(volume)
    assert host.exports().list() == []

"""A host comes back: every export at its former address with the same bytes, and none that was removed meanwhile."""

import dataclasses
import os
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.interface import Image
from breezeblock.exports import ownership
from breezeblock.exports.values import ExportRow
from tests.support.exports import Host, call
from tests.support.nbd import Client


def row_of(host: Host, volume: str, image: Image, parameters: object, generation: int = 2) -> ExportRow:
    owner = host.exports().owner()
    return ExportRow(volume, owner.host, owner.boot_id, generation, parameters, lambda: image)  # type: ignore[arg-type]


def exported_row(host: Host, volume: str, image: Image) -> ExportRow:
    return row_of(host, volume, image, host.exports().ensure(call(volume), volume, lambda: image))


def test_all_exports_are_rebuilt_at_their_addresses_with_their_bytes(host: Host) -> None:
    volumes = [host.volume() for _ in range(3)]
    blocks = [os.urandom(4096) for _ in volumes]
    rows, infos = [], []
    for (volume, image), block in zip(volumes, blocks, strict=True):
        rows.append(exported_row(host, volume, image))
        infos.append(info := host.exports().connect_info(volume))
        with Client(info["data"]["socket"], volume) as client:
            client.write(8192, block)
            client.flush()
    before = host.exports().owner()
    host.kill_all()
    host.boot_id = "boot-2"
    now = host.exports().owner()
    assert ownership.rebuild_is_due(now, {"host": rows[0].host, "boot_id": rows[0].boot_id})
    assert not any(export.running for export in host.exports().list())

    assert host.exports().rebuild(rows) == {}
    pids = [host.pid(volume) for volume, _ in volumes]
    assert host.exports().rebuild(rows) == {}
    assert pids == [host.pid(volume) for volume, _ in volumes]
    for (volume, _image), block, info in zip(volumes, blocks, infos, strict=True):
        assert host.exports().connect_info(volume) == info
        with Client(info["data"]["socket"], volume) as client:
            assert client.read(8192, 4096) == block
    assert {export.boot_id for export in host.exports().list()} == {"boot-2"} != {before.boot_id}


def test_a_dead_daemon_comes_back_without_a_reboot(host: Host) -> None:
    volume, image = host.volume()
    parameters = host.exports().ensure(call(volume), volume, lambda: image, read_only=True)
    host.kill_all()
    assert host.exports().rebuild([row_of(host, volume, image, parameters)]) == {}
    data = host.exports().connect_info(volume, read_only=True)["data"]
    with Client(data["socket"], data["export"]) as client:
        assert client.size == image.size_bytes


def test_a_stale_row_starts_nothing(host: Host) -> None:
    volume, image = host.volume()
    parameters = host.exports().ensure(call(volume, 2), volume, lambda: image)
    row = row_of(host, volume, image, parameters, generation=2)
    host.exports().remove(call(volume, 3), volume)
    assert host.exports().rebuild([row]) == {}
    assert not host.live.running(volume)
    # A later export whose state directory was lost is not stale.
    assert host.exports().rebuild([dataclasses.replace(row, generation=4)]) == {}
    assert host.live.running(volume)


def test_one_lost_image_does_not_keep_the_others_down(host: Host) -> None:
    (lost, image), (sound, other) = host.volume(), host.volume()
    rows = [exported_row(host, lost, image), exported_row(host, sound, other)]
    host.kill_all()
    Path(image.path).unlink()
    assert set(host.exports().rebuild(rows)) == {lost}
    assert not host.live.running(lost)
    assert host.live.running(sound)


def test_a_foreign_hosts_export_is_not_ours_to_start(raw_host: Host) -> None:
    volume, image = raw_host.volume()
    row = ExportRow(volume, "host-b", "boot-9", 2, {"version": 1, "services": ["nbd-rw"], "address": None}, lambda: image)
    assert raw_host.exports().rebuild([row]) == {}
    assert not raw_host.live.running(volume)
    with pytest.raises(errors.ObjectBusy, match="confirm-dead host-b"):
        ownership.check(volume, raw_host.exports().owner(), {"host": "host-b", "boot_id": "boot-1"})
    ownership.check(volume, raw_host.exports().owner(), {"host": "host-a", "boot_id": "boot-0"})
    ownership.check(volume, raw_host.exports().owner(), None)


def test_parameters_of_an_unknown_version_are_not_guessed_at(raw_host: Host) -> None:
    volume, image = raw_host.volume()
    row = row_of(raw_host, volume, image, {"version": 99})
    assert "version 99" in raw_host.exports().rebuild([row])[volume]


def test_an_operators_stop_is_no_removal(host: Host) -> None:
    volume, image = host.volume()
    parameters = host.exports().ensure(call(volume), volume, lambda: image)
    info = host.exports().connect_info(volume)
    assert host.exports().stop_all() == {}
    assert not host.live.running(volume)
    assert [export.volume_id for export in host.exports().list()] == [volume]
    assert host.exports().rebuild([row_of(host, volume, image, parameters)]) == {}
    assert host.exports().connect_info(volume) == info
    assert host.live.running(volume)

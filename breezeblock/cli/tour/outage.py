"""The last chapters: everything is killed while a disk is in use, everything is verified, and everything is taken away."""

import time
from collections.abc import Sequence
from typing import Final

from breezeblock.cli.tour import cleaning, writer
from breezeblock.cli.tour.life import WHILE_WRITING, check_records, require, verify_copy
from breezeblock.cli.tour.stage import Stage, await_
from breezeblock.worker import backends

STALLED_SECONDS: Final = 5.0
"""A pause of the writer as long as this is no more the machine's, but a client that has lost its disk for a while."""
COLLECT_SECONDS: Final = 60.0
"""Within which leftovers of dead jobs must be collected: two rounds of the worker's collector, and some."""
FOREIGN_SECONDS: Final = 3.0
"""So long a file must have been nobody's before it is called a leak."""


def outage(stage: Stage) -> None:
    """Kill every process of the service while a writer is at work, then start it again."""
    disk = stage.disks["first"]
    exporting = cleaning.daemons(stage.place)
    with writer.writing(disk, stage.numbers) as at_work:
        require(at_work, WHILE_WRITING)
        killed = stage.service.kill()
        began, before = time.monotonic(), len(at_work.written)
        stage.say(f"kill -9 of all {len(killed)} processes at once (supervisor, API, workers), while records are written and read back.")
        require(at_work, 4 * WHILE_WRITING)
        during, seconds = len(at_work.written) - before, time.monotonic() - began
        stage.say(f"With no process of the service left, {during} records were written in {seconds:.1f} s.")
        restart = stage.service.start()
        stage.say(f"Started 'breezeblock serve' on the same state; it is healthy after {restart:.1f} s.")
        require(at_work, WHILE_WRITING)
    stage.written |= {record.name: record.digest for record in at_work.written}
    pause = writer.longest_pause(at_work.written)
    stage.check(
        not at_work.failure and pause < STALLED_SECONDS,
        f"Writing never stopped: {len(at_work.written)} records, each read back; the longest pause was {1000 * pause:.0f} ms.",
        f"writing stalled while everything was killed: {at_work.failure or f'the longest pause was {pause:.1f} s'}",
    )
    now = cleaning.daemons(stage.place)
    stage.check(
        sorted(now) == sorted(exporting) and exporting,
        f"The disk's daemon is the same process as before ({', '.join(map(str, now))}).",
        f"the export daemons were {exporting} before, and are {now}",
    )


def verify(stage: Stage) -> None:
    """Take the disk away and attach it anew, so that nothing is in a cache, and compare everything; a clone of the batch too."""
    stage.detach("first")
    disk = stage.attach("first", made=True)
    check_records(stage, "first", stage.written, "All that was ever written is there:")
    if said := disk.check():
        stage.found(f"{said}.")
    stage.detach("first")
    stage.say("Of the clones that were made while the worker was killed, one is looked at.")
    verify_copy(stage, "clone-0")


def delete(stage: Stage) -> None:
    """Ask for the end of everything, and wait for it."""
    for name in list(stage.disks):
        stage.detach(name)
    began = time.monotonic()
    paths = [f"/snapshots/{id}" for id in stage.snapshots.values()]
    for path in paths:
        stage.ask("DELETE", path)
    for path in paths:
        stage.await_status(path, "gone")
    paths += [stage.delete_volume(name) for name in list(stage.volumes)]
    for path in paths:
        stage.await_status(path, "gone")
    stage.snapshots.clear()
    stage.found(f"All {len(paths)} snapshots and volumes are gone, {time.monotonic() - began:.1f} s after the first request.")


def zero(stage: Stage) -> None:
    """Look for anything that should not be there any more."""
    _in_the_database(stage)
    _on_the_backend(stage)
    _on_this_machine(stage)


def _in_the_database(stage: Stage) -> None:
    listed = {kind: len(stage.ask("GET", f"/{kind}?all_tenants=1")[kind]) for kind in ("volumes", "snapshots", "attachments")}
    stage.check(not any(listed.values()), "The API lists no volume, no snapshot and no attachment.", f"the API still lists {listed}")
    usage = stage.ask("GET", "/os-quota-sets/default?usage=True")["quota_set"]
    used = {name: one["in_use"] for name, one in usage.items() if isinstance(one, dict) and (one["in_use"] or one["reserved"])}
    stage.check(not used, "Every quota counter of the project is back to zero.", f"the project's quota counters are not zero: {used}")
    pools = stage.ask("GET", "/scheduler-stats/get_pools?detail=True")["pools"]
    provisioned = {pool["name"]: pool["capabilities"]["provisioned_capacity_gb"] for pool in pools}
    stage.check(not any(provisioned.values()), "No pool has promised a byte.", f"pools count space that nobody has: {provisioned}")
    stage.check(stage.unfinished() == 0, "No job is left.", f"{stage.unfinished()} jobs are unfinished")


def _on_the_backend(stage: Stage) -> None:
    """Wait for the collector, but not for what it cannot take: a file that is nobody's stays."""
    driver = backends.open_one(stage.settings, stage.settings.backend("local")).driver
    nobodys_since: dict[str, float] = {}

    def verdict() -> str:
        files = _files(stage)
        collectable = {found.name for found in driver.objects()}
        now = time.monotonic()
        for name in files:
            nobodys_since[name] = now if name in collectable else nobodys_since.get(name, now)
        leaked = [name for name in files if now - nobodys_since[name] > FOREIGN_SECONDS]
        return f"the backend's directory holds a leak, which no volume has and no collection takes: {', '.join(leaked)}" if leaked else ""

    leak = ""

    def clean() -> bool:
        nonlocal leak
        leak = verdict()
        return bool(leak) or not _files(stage)

    seconds = await_(clean, COLLECT_SECONDS, lambda: f"the backend's directory still holds {', '.join(_files(stage))}: nobody collects it")
    stage.check(not leak, f"The backend's directory is empty; leftovers of the killed worker were collected within {seconds:.0f} s.", leak)


def _files(stage: Stage) -> Sequence[str]:
    root = stage.backend_directory
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def _on_this_machine(stage: Stage) -> None:
    exports = stage.service.command("exports", "list")
    stage.check(not exports, "This machine exports nothing.", f"exports are left: {' '.join(exports.split())}")
    left = {
        "storage daemons": cleaning.daemons(stage.place),
        "loop devices": cleaning.loops(stage.place),
        "mounts": [str(point) for point, _ in cleaning.mounts(stage.place)],
    }
    words = ", ".join(f"{name} {found}" for name, found in left.items() if found)
    stage.check(not words, "No storage daemon, no loop device and no mount is left.", f"left on this machine: {words}")

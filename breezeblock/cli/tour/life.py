"""The first chapters: a volume's life while nothing goes wrong."""

import time

from breezeblock.cli.tour import writer
from breezeblock.cli.tour.disks import RECORD_BYTES, missing_for_local
from breezeblock.cli.tour.stage import GIB, Off, Stage, await_

FIRST_RECORDS = 64
WHILE_WRITING = 15
"""Records before and after a moment that writing must survive."""
WRITE_SECONDS = 30.0


def serve(stage: Stage) -> None:
    """Start the service, and see what this machine can do."""
    seconds = stage.service.start()
    stage.service.tell(stage.narrator)
    stage.found(f"It answers and has a living volume worker, {seconds:.1f} s after its start.")
    reason = missing_for_local() if stage.wants_local else "the tour was asked to do without"
    stage.local = not reason
    if reason:
        stage.say(f"This tour makes no local block devices ({reason}); it tells the story over NBD, with qemu-io as the client.")


def create(stage: Stage) -> None:
    """The first volume."""
    began = time.monotonic()
    path = f"/volumes/{stage.create_volume('first')}"
    stage.say("Asked the API for the volume 'first' of 1 GiB.")
    stage.await_status(path, "available")
    files = [file.name for file in stage.backend_directory.iterdir() if stage.volumes["first"] in file.name and file.is_file()]
    seconds = time.monotonic() - began
    stage.check(
        len(files) == 1,
        f"It is available after {seconds:.2f} s, and the backend's directory holds one file of it.",
        f"the backend should hold one file of volume {stage.volumes['first']}, and holds {files}",
    )


def attach(stage: Stage) -> None:
    """Make it a disk."""
    disk = stage.attach("first", made=False)
    stage.await_status(f"/volumes/{stage.volumes['first']}", "in-use")
    stage.check(disk.size() == GIB, "The volume is in use, and the disk has 1 GiB.", f"the disk has {disk.size()} bytes, not {GIB}")


def fill(stage: Stage) -> None:
    """Write the first records."""
    disk = stage.disks["first"]
    stage.say(disk.prepare())
    for _ in range(FIRST_RECORDS):
        record = writer.write(disk, f"record-{next(stage.numbers):05}")
        stage.written[record.name] = record.digest
    check_records(stage, "first", stage.written, "Wrote")


def snapshot(stage: Stage) -> None:
    """Take a snapshot while a writer is at work."""
    disk = stage.disks["first"]
    with writer.writing(disk, stage.numbers) as at_work:
        require(at_work, WHILE_WRITING)
        durable = len(at_work.written)
        began = time.monotonic()
        path = f"/snapshots/{stage.create_snapshot('picture', stage.volumes['first'])}"
        stage.await_status(path, "available")
        there = time.monotonic()
        require(at_work, WHILE_WRITING)
    stage.snapped = stage.written | {record.name: record.digest for record in at_work.written[:durable]}
    stage.too_late = [record.name for record in at_work.written if record.began > there]
    stage.written |= {record.name: record.digest for record in at_work.written}
    stage.say(f"Took the snapshot 'picture' while records were being written; it was there after {there - began:.2f} s.")
    stage.check(
        not at_work.failure,
        f"Writing went on all the time: {len(at_work.written)} records, the longest pause was "
        f"{1000 * writer.longest_pause(at_work.written):.0f} ms.",
        f"writing failed while the snapshot was taken: {at_work.failure}",
    )


def clone(stage: Stage) -> None:
    """Make a volume from the snapshot."""
    began = time.monotonic()
    path = f"/volumes/{stage.create_volume('copy', snapshot_id=stage.snapshots['picture'])}"
    stage.await_status(path, "available")
    stage.found(f"The volume 'copy', made from the snapshot, is available after {time.monotonic() - began:.2f} s.")


def verify_clone(stage: Stage) -> None:
    """Attach the clone, and hold it against what was durable when the snapshot was asked for."""
    verify_copy(stage, "copy")


def verify_copy(stage: Stage, name: str) -> None:
    """Attach a volume that was made from the snapshot, compare everything, detach it."""
    disk = stage.attach(name, made=True)
    if stage.local:
        stage.say("Mounted it, which replayed the journal: the snapshot was taken of a filesystem at work.")
    check_records(stage, name, stage.snapped, "The snapshot holds what was durable when it was asked for:")
    late = disk.digests(stage.too_late)
    stage.check(
        not late,
        f"None of the {len(stage.too_late)} records that were written after the snapshot is in it.",
        f"{len(late)} records on '{name}' were written only after the snapshot was there",
    )
    if said := disk.check():
        stage.found(f"{said}.")
    stage.detach(name)


def extend(stage: Stage) -> None:
    """Grow the volume under its user."""
    disk, path = stage.disks["first"], f"/volumes/{stage.volumes['first']}"
    stage.ask("POST", f"{path}/action", {"os-extend": {"new_size": 2}})
    stage.await_status(path, "in-use")
    seconds = await_(lambda: disk.size() == 2 * GIB, 10, lambda: f"the disk should have {2 * GIB} bytes, and has {disk.size()}")
    stage.found(f"The disk has 2 GiB, without being detached, {seconds:.1f} s after the API said so.")
    stage.say(disk.grow())
    record = writer.write(disk, f"record-{next(stage.numbers):05}")
    stage.written[record.name] = record.digest
    check_records(stage, "first", stage.written, "Extending changed nothing:")


def check_records(stage: Stage, name: str, wanted: dict[str, str], claim: str) -> None:
    """Compare the checksums of records on a disk in use."""
    wrong = writer.differences(stage.disks[name], wanted)
    size = len(wanted) * RECORD_BYTES / 2**20
    stage.check(not wrong, f"{claim} {len(wanted)} records ({size:.0f} MiB), every SHA-256 is right.", f"data of volume '{name}': {wrong}")


def require(at_work: writer.Writer, number: int) -> None:
    """Wait for so many further records; Off when writing has failed or stopped."""
    if not at_work.more(number, WRITE_SECONDS):
        raise Off(f"writing stopped: {at_work.failure or f'not {number} records in {WRITE_SECONDS:g} seconds'}")

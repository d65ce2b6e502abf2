"""Real processes that were stopped in the middle of a call, and go on after somebody else took their job (protocol rules R1, R4)."""

import contextlib
import os
import select
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from breezeblock import errors
from breezeblock.drivers.conformance import Subject, World
from breezeblock.drivers.conformance.world import Job, Resource
from breezeblock.drivers.interface import SnapshotSpec, VolumeSpec
from tests.support.file_backend import file_driver

SECONDS = 20


def state(pid: int) -> str:
    """Its letter in /proc, or ``-`` when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "-"


def until(question: Callable[[], bool]) -> None:
    """Wait for what no descriptor tells."""
    deadline = time.monotonic() + SECONDS
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class StoppedTools:
    """A ``qemu-img`` on the PATH that stops itself before it does anything, and tells its pid. Then it is the real one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = subprocess.run(["sh", "-c", "command -v qemu-img"], capture_output=True, text=True, check=True).stdout.strip()
        self._folder, self._monkeypatch = folder, monkeypatch
        self._fifo = folder / "pids"
        os.mkfifo(self._fifo)
        self._pids = os.open(self._fifo, os.O_RDWR | os.O_NONBLOCK)
        script = folder / "qemu-img"
        script.write_text(f'#!/bin/sh\necho $$ > {self._fifo}\nkill -STOP $$\nexec {real} "$@"\n')
        script.chmod(0o700)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """For what is started meanwhile."""
        with self._monkeypatch.context() as patched:
            patched.setenv("PATH", f"{self._folder}:{os.environ['PATH']}")
            yield

    def stopped(self) -> int:
        """The pid of the next tool, once it is stopped."""
        assert select.select([self._pids], [], [], SECONDS)[0], "no tool was started"
        pid = int(os.read(self._pids, 32))
        until(lambda: state(pid) == "T")
        return pid

    def close(self) -> None:
        os.close(self._pids)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoppedTools]:
    made = StoppedTools(tmp_path, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def world(ext4: Path) -> World:
    path = ext4 / str(uuid.uuid4())
    return World(Subject(lambda: file_driver(path, file_chain_limit=2, file_lock_seconds=0.3)))


@contextmanager
def worker(call: Callable[[], object]) -> Iterator[int]:
    """A process that makes the call; killed at the end, if it still runs. Exit status 3: it was refused."""
    pid = os.fork()
    if pid == 0:
        try:
            call()
            os._exit(0)
        except errors.Fenced:
            os._exit(3)
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        if state(pid) != "-":
            os.kill(pid, signal.SIGKILL)
        ended(pid)


def ended(pid: int) -> int | None:
    """Its exit status; None when it was waited for before."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def extend(world: World, job: Job, epoch: int, volume: Resource, size_gib: int) -> None:
    volume.handle = world.subject.build().extend(job.call(epoch), volume.id, volume.published, size_gib)
    volume.size_gib = size_gib


def test_a_stopped_resize_keeps_everybody_out_until_its_worker_is_killed(world: World, tools: StoppedTools) -> None:
    volume = world.volume()
    job = world.start(volume.id)
    with tools.installed(), worker(lambda: extend(world, job, 1, volume, 2)) as zombie:
        tool = tools.stopped()
        os.kill(zombie, signal.SIGSTOP)
        with pytest.raises(errors.ObjectBusy, match="has not ended"):
            extend_here(world, job, volume)
        os.kill(zombie, signal.SIGKILL)
        ended(zombie)
        until(lambda: state(tool) in "-ZX")
    extend(world, job, 2, volume, 3)
    world.end(job)
    world.check()


def extend_here(world: World, job: Job, volume: Resource) -> None:
    world.driver.extend(job.call(2), volume.id, volume.published, 3)


def test_a_tool_whose_worker_was_killed_holds_the_fence_until_it_is_gone(world: World, tools: StoppedTools) -> None:
    """The lock is the tool's too: between its worker's death and its own nobody comes in."""
    volume = world.volume()
    job = world.start(volume.id)
    with tools.installed(), worker(lambda: extend(world, job, 1, volume, 2)):
        tool = tools.stopped()
        held = [link.readlink() for link in Path(f"/proc/{tool}/fd").iterdir()]
        assert any(target.match(f".fence/{volume.id}") for target in held)


def test_a_worker_stopped_before_its_call_is_refused_afterwards(world: World) -> None:
    """Stopped for longer than its lease, continued after its job was taken over, finished, and another had come."""
    volume = world.volume()
    job, later = world.start(volume.id), world.start(volume.id)

    def late() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        extend(world, job, 1, volume, 2)

    with worker(late) as zombie:
        until(lambda: state(zombie) == "T")
        extend(world, job, 2, volume, 3)
        world.end(job)
        extend(world, later, 1, volume, 4)
        world.end(later)
        os.kill(zombie, signal.SIGCONT)
        assert ended(zombie) == 3
    world.check()


def test_a_copy_that_goes_on_after_its_successors_finish_harms_nobody(ext4: Path, tools: StoppedTools) -> None:
    """PRIVATE: no lock holds the successor up, and what the zombie's tool writes is its own file, which is collected."""
    path = ext4 / str(uuid.uuid4())
    world = World(Subject(lambda: file_driver(path)))
    volume = world.volume()
    world.snapshot(volume)
    snapshot = world.snapshot(volume)
    new = world.unborn()
    new.bytes = dict(snapshot.bytes)
    job = world.start(new.id)

    def restore(epoch: int) -> None:
        copying = file_driver(path, file_chain_limit=1)
        new.handle = copying.create_from_snapshot(job.call(epoch), snapshot.published, VolumeSpec(new.id, 1))

    with contextlib.ExitStack() as stack:
        with tools.installed():
            zombie = stack.enter_context(worker(lambda: restore(1)))
            tool = tools.stopped()
        restore(2)
        assert new.published["files"][0].endswith(".e2")
        world.check()
        os.kill(tool, signal.SIGCONT)
        assert ended(zombie) == 0
    world.check()
    world.end(job)
    world.collect()
    assert not any(found.name.endswith(".e1") and found.job_id == job.id for found in world.driver.objects())
    world.check()


def test_a_merge_that_was_stopped_is_done_again_by_the_next(world: World, tools: StoppedTools) -> None:
    """FENCED: the successor waits for the lock, and starts its own copy when the first worker has been killed."""
    volume = world.volume()
    for _ in range(2):
        world.snapshot(volume)
    new = world.unborn_snapshot(volume)
    job = world.start(volume.id, new.id)
    spec = SnapshotSpec(new.id, volume.id, 1)

    def take(epoch: int) -> None:
        left = world.subject.build().snapshot(job.call(epoch), volume.published, spec)
        volume.handle, new.handle = left.source, left.new

    with tools.installed(), worker(lambda: take(1)) as zombie:
        tool = tools.stopped()
        with pytest.raises(errors.ObjectBusy):
            take(2)
        assert not any(found.resource_id == volume.id for found in world.driver.objects() if "." in found.name[1:]), (
            "a section is under way"
        )
        os.kill(zombie, signal.SIGKILL)
        ended(zombie)
        until(lambda: state(tool) in "-ZX")
    take(2)
    world.end(job)
    assert len(volume.published["files"]) == 2
    world.collect()
    world.check()


def test_a_cancelled_delete_that_wakes_up_is_refused(world: World) -> None:
    """Its volume was given back to its user meanwhile, who took a snapshot: the file to delete is the snapshot's now."""
    volume = world.volume()
    job, old = world.start(volume.id), volume.published
    world.end(job)
    world.snapshot(volume)
    with pytest.raises(errors.Fenced):
        world.driver.delete(job.call(), volume.id, old)
    world.check()

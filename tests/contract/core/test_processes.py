"""Leases and deaths of real processes: what only a kernel can show (protocol rules R4 and R5)."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.core import leases
from breezeblock.core.leases import ProcessName

BOUND_SECONDS = 10.0
ARMED = """
import sys, time
from breezeblock.core.leases import KernelTimer
timer = KernelTimer()
def arm(seconds):
    timer.arm(time.clock_gettime(time.CLOCK_BOOTTIME) + seconds)
"""
HEADLESS = """
import ctypes, sys, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall(int(sys.argv[1]), 0)  # the first thread ends, and the process with its other one goes on
"""


EXIT = {"x86_64": "60", "aarch64": "93"}
"""The number of the system call that ends one thread."""


class Child:
    """A process of this host, which says a word when it is ready."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, cwd=Path.cwd())
        assert self.process.stdout is not None
        assert self.process.stdout.readline()
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        mine = leases.this_process()
        self.name = ProcessName(mine.boot_id, mine.pid_namespace, self.process.pid, int(stat[19]))

    def state(self) -> str:
        """The kernel's letter for its state."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    def await_state(self, letter: str) -> None:
        end = time.monotonic() + BOUND_SECONDS
        while self.state() != letter:
            assert time.monotonic() < end, f"the process is {self.state()}, not {letter}"
            time.sleep(0.005)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(BOUND_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.close()


def test_the_kernel_timer_kills_even_a_stopped_process(children: list[Child]) -> None:
    child = Child(ARMED + "arm(1.5); print('armed', flush=True); time.sleep(60)")
    children.append(child)
    os.kill(child.process.pid, signal.SIGSTOP)
    assert child.process.wait(BOUND_SECONDS) == -signal.SIGKILL


def test_a_deadline_that_has_passed_kills_at_once(children: list[Child]) -> None:
    child = Child(ARMED + "print('ready', flush=True); arm(-5); time.sleep(60)")
    children.append(child)
    assert child.process.wait(BOUND_SECONDS) == -signal.SIGKILL


def test_arming_again_moves_the_deadline_and_disarming_ends_it(children: list[Child]) -> None:
    child = Child(ARMED + "print('ready', flush=True); arm(2); arm(60); time.sleep(2.1); arm(2); timer.disarm(); time.sleep(2.1)")
    children.append(child)
    assert child.process.wait(BOUND_SECONDS) == 0


def test_a_process_is_dead_when_it_is_gone_and_not_before(children: list[Child]) -> None:
    child = Child("import time; print('ready', flush=True); time.sleep(60)")
    children.append(child)
    assert not leases.proven_dead(child.name)
    leases.kill(child.name)
    child.await_state("Z")
    assert leases.proven_dead(child.name)
    child.process.wait(BOUND_SECONDS)
    assert leases.proven_dead(child.name)


def test_a_process_whose_first_thread_has_ended_still_works(children: list[Child]) -> None:
    """The kernel shows it as a zombie; another thread may be in the middle of a write."""
    child = Child(HEADLESS, EXIT[platform.machine()])
    children.append(child)
    child.await_state("Z")
    assert not leases.proven_dead(child.name)
    leases.kill(child.name)
    assert child.process.wait(BOUND_SECONDS) == -signal.SIGKILL

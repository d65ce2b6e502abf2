"""A worker as a container's first process: the kernel protects that process from its own timer, so another one must do the work."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deadly import Order
from tests.support.processes import SHORT_LEASE, Deployment, configuration, deployed
from tests.support.service import await_, tree

CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose volume worker is in a PID namespace of its own."""
    config = configuration(f"volume_driver = fake\nfake_path = {tmp_path}/fake.sqlite", lease=SHORT_LEASE)
    with deployed(Deployment(tmp_path / "state", config)) as deployment:
        deployment.begin(volume_workers=1, wrap=CONTAINER)
        yield deployment


def test_its_lease_ends_it(contained: Deployment) -> None:
    order = contained.orders.give(Order("volumes.create.create.before", signal=signal.SIGSTOP))
    contained.create()
    await_(lambda: bool(contained.orders.struck(order)), 20, contained.tail)
    for process in (contained.api, contained.scheduler):
        process.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert contained.processes[-1].wait(10) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 5, "the lease is 3 seconds"


def test_it_ends_in_order(contained: Deployment) -> None:
    worker = contained.processes[-1]
    os.kill(tree(worker.pid)[1], signal.SIGTERM)
    assert worker.wait(20) == 0

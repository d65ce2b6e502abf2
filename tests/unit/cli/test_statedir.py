"""One ``serve`` per state directory."""

import os
import select
from pathlib import Path

import pytest

from breezeblock.cli.statedir import AlreadyServed, claim


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    lock = claim(tmp_path / "state", "http://here/v3")
    with pytest.raises(AlreadyServed, match=rf"state is served already, by process {os.getpid()} at http://here/v3"):
        claim(tmp_path / "state", "http://there/v3")
    os.close(lock)
    os.close(claim(tmp_path / "state", "http://there/v3"))


def test_a_lock_whose_holder_has_ended_is_waited_for(tmp_path: Path) -> None:
    """As when the supervisor was killed, and a child that has inherited its lock is about to end."""
    lock = claim(tmp_path, "http://here/v3")
    supervisor = os.fork()
    if supervisor == 0:
        os._exit(0)
    os.waitpid(supervisor, 0)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{supervisor}\nhttp://gone/v3\n".encode(), 0)
    child = os.fork()
    if child == 0:
        select.select([], [], [], 0.1)
        os._exit(0)
    os.close(lock)
    os.close(claim(tmp_path, "http://next/v3"))
    assert (tmp_path / "serve.lock").read_text() == f"{os.getpid()}\nhttp://next/v3\n"
    os.waitpid(child, 0)

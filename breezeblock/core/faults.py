"""Named points where a test may crash, pause or delay a process. No-ops in production.

The engine reaches ``<transaction>.commit.before`` and ``.after`` around every commit, the job
runner reaches ``<verb>.<method>.before`` and ``.after`` around every driver call, and a verb may
reach points of its own. A test installs a hook, records the names that one run reaches, and then
crashes at each of them: the list is read off the code and cannot be forgotten.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Hook = Callable[[str], None]


def _nothing(name: str) -> None:
    """Production's hook."""


_hook: Hook = _nothing


def reach(name: str) -> None:
    """Say that execution is at the point ``name``."""
    _hook(name)


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Install ``hook`` for the duration of a test."""
    global _hook  # noqa: PLW0603 - a test installs it for one block; production never does
    before, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = before

"""What makes the unit tests unit tests: one that takes over a second fails.

Slower tests live in the functional folders (tests/contract, tests/api, tests/faults and so on),
which the same gate runs. The second is the test's own: what its process spent waiting for a processor
that others kept busy is not counted, so that a busy machine fails nobody.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

LIMIT_SECONDS = 1.0

_SPENT = pytest.StashKey[float]()
_WAITED = pytest.StashKey[float]()


def _waited() -> float:
    """Seconds that the threads of this process have waited for a processor (run_delay of the scheduler's statistics)."""
    found = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            found += int((task / "schedstat").read_text().split()[1])
        except OSError:
            continue
    return found / 1e9


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember how long this process had waited before the test."""
    item.stash[_WAITED] = _waited()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a passing test whose set-up and body together took longer than the limit."""
    report = yield
    spent = item.stash.get(_SPENT, 0.0) + call.duration
    item.stash[_SPENT] = spent
    own = spent - max(0.0, _waited() - item.stash[_WAITED])
    if report.passed and report.when == "call" and own > LIMIT_SECONDS:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} took {own:.2f} s; a unit test may take {LIMIT_SECONDS:.0f} s"
    return report

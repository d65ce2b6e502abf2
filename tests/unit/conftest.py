"""What makes the unit tests unit tests: one that takes over a second fails.

Slower tests live in the functional folders (tests/contract, tests/api, tests/faults and so on),
which the same gate runs.
"""

from collections.abc import Generator

import pytest

LIMIT_SECONDS = 1.0

_SPENT = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a passing test whose set-up and body together took longer than the limit."""
    report = yield
    spent = item.stash.get(_SPENT, 0.0) + call.duration
    item.stash[_SPENT] = spent
    if report.passed and report.when == "call" and spent > LIMIT_SECONDS:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} took {spent:.2f} s; a unit test may take {LIMIT_SECONDS:.0f} s"
    return report

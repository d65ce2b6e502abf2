"""A unit test that takes over a second fails, and says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

SLOW = '''
"""One quick test, one with a slow body, one with a slow fixture."""
import time
import pytest

def test_quick(): ...

def test_slow(): time.sleep(1.05)

@pytest.fixture
def slow(): time.sleep(1.05)

def test_slow_set_up(slow): ...
'''


def test_slow_unit_tests_fail(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "unit" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(SLOW)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 1 passed" in done.stdout
    assert done.stdout.count("a unit test may take 1 s") >= 2

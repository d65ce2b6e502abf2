"""The set-up does nothing, quickly, when everything is there."""

import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_package_lists_are_names_alone() -> None:
    for name in ("packages-run.txt", "packages-test.txt"):
        lines = (ROOT / "tools" / name).read_text().splitlines()
        assert [
            line for line in lines if not line.startswith("#") and (not line or not line.replace("-", "").replace(".", "").isalnum())
        ] == []


@pytest.mark.parametrize("mode", ["", "everything"])
def test_an_unknown_mode_is_refused(mode: str) -> None:
    done = subprocess.run([ROOT / "tools" / "bootstrap", *mode.split()], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "usage: tools/bootstrap run|dev|test" in done.stderr


def test_a_second_call_does_nothing(tmp_path: Path) -> None:
    """With a checkout whose packages are all installed: no apt, no pip, no output, at once."""
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "tools/bootstrap"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "tools" / "bootstrap").chmod(0o755)
    (tmp_path / "tools" / "packages-run.txt").write_text("# always there\nbash\ncoreutils\n")
    venv = tmp_path / ".venv" / "bin"
    venv.mkdir(parents=True)
    # A Python that notes each call: the first run "installs", the second must not call it.
    (venv / "python").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n')
    (venv / "python").chmod(0o755)
    (tmp_path / ".venv" / "home").write_text(f"{tmp_path}\n")

    def bootstrap() -> tuple[str, float]:
        start = time.monotonic()
        done = subprocess.run([tmp_path / "tools" / "bootstrap", "run"], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout + done.stderr, time.monotonic() - start

    bootstrap()
    calls = (tmp_path / "calls").read_text()
    assert "pip install" in calls
    said, seconds = min((bootstrap() for _ in range(3)), key=lambda answer: answer[1])
    assert (said, (tmp_path / "calls").read_text()) == ("", calls)
    assert seconds < 0.3
    (tmp_path / "constraints.txt").write_text("click==8.0.0\n")
    bootstrap()
    assert (tmp_path / "calls").read_text().count("pip install") == 2
    assert (tmp_path / ".venv" / "stamp-run").exists()

"""The import contracts refuse what architecture forbids, shown on a small made-up package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = [
    "__init__",
    "errors",
    "config",
    "logs",
    "core/__init__",
    "core/jobs",
    "store/__init__",
    "store/engine",
    "drivers/__init__",
    "drivers/interface",
    "drivers/nfs",
    "drivers/rbd",
    "scheduler/__init__",
    "exports/__init__",
    "resources/__init__",
    "api/__init__",
    "worker/__init__",
    "cli/__init__",
]


def lint(tmp_path: Path, changes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the repository's contracts over the made-up package."""
    for name in {*MODULES, *changes}:
        path = tmp_path / "breezeblock" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changes.get(name, ""))
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    allowed = {
        "cli/__init__": "import breezeblock.worker, breezeblock.api",
        "core/jobs": "import breezeblock.drivers.interface, breezeblock.store.engine, breezeblock.config",
        "drivers/nfs": "import breezeblock.drivers.interface, breezeblock.errors",
    }
    done = lint(tmp_path, allowed)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("core/jobs", "breezeblock.resources"),
        ("store/engine", "breezeblock.core.jobs"),
        ("errors", "breezeblock.core"),
        ("api/__init__", "breezeblock.worker"),
        ("worker/__init__", "breezeblock.cli"),
        ("scheduler/__init__", "breezeblock.exports"),
        ("scheduler/__init__", "breezeblock.resources"),
        ("drivers/nfs", "breezeblock.store"),
        ("drivers/nfs", "breezeblock.drivers.rbd"),
    ],
)
def test_what_is_forbidden_is_refused(importer: str, imported: str, tmp_path: Path) -> None:
    done = lint(tmp_path, {importer: f"import {imported}"})
    assert done.returncode == 1
    assert "1 kept, 1 broken" in done.stdout, done.stdout


def test_a_new_part_needs_its_place(tmp_path: Path) -> None:
    done = lint(tmp_path, {"gadgets/__init__": ""})
    assert done.returncode == 1
    assert "gadgets" in done.stdout

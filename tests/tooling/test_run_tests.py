"""The test runner counts honestly: what crashes, hangs, finds nothing or is skipped is a failure."""

import time
from pathlib import Path

import pytest

from tools.layers import LAYERS, Layer, command, suite
from tools.run_tests import ROOT, Count, compare_coverage, count_report, run_layer

PASSES = '"""A."""\ndef test_a(): ...\ndef test_b(): ...\n'


def layer_of(tmp_path: Path, text: str, minutes: float = 1) -> Layer:
    """A layer of one pytest run over one file."""
    (tmp_path / "test_it.py").write_text(text)
    return Layer("it", ".", minutes, (suite("it", str(tmp_path / "test_it.py")),))


@pytest.mark.parametrize(
    ("text", "passed", "failed", "reason"),
    [
        (PASSES, 2, 0, ""),
        (PASSES + "def test_c(): assert False\n", 2, 1, "failure: "),
        (PASSES + "import pytest\n@pytest.fixture\ndef f():\n  raise KeyError\ndef test_c(f): ...\n", 2, 1, "error: "),
        (PASSES + "import pytest\n@pytest.fixture\ndef f():\n  yield\n  raise KeyError\ndef test_c(f): ...\n", 2, 1, "error: "),
        (PASSES + "import pytest\n@pytest.mark.sk" + "ip\ndef test_c(): ...\n", 2, 1, "skipped: "),
        ('"""None."""\n', 0, 1, "no tests"),
        ("import nothing_of_that_name\n", 0, 1, "error: "),
        (PASSES + "import os\ndef test_c(): os._exit(0)\n", 0, 1, "no report; exit code 0"),
    ],
    ids=["good", "failure", "set-up", "teardown", "skipped", "empty", "collection", "crash"],
)
def test_a_run_is_counted(text: str, passed: int, failed: int, reason: str, tmp_path: Path) -> None:
    count = run_layer(layer_of(tmp_path, text), tmp_path / "build")
    assert (count.passed, count.failed) == (passed, failed), count
    assert not reason or any(reason in line for line in count.reasons), count


def test_a_run_that_hangs_is_ended_and_counted(tmp_path: Path) -> None:
    start = time.monotonic()
    layer = layer_of(tmp_path, PASSES + "import time\ndef test_c(): time.sleep(60)\n", minutes=0.03)
    count = run_layer(layer, tmp_path / "build")
    assert (count.passed, count.failed) == (0, 1)
    assert time.monotonic() - start < 30


def test_commands_count_by_their_exit_code(tmp_path: Path) -> None:
    steps = (command("good", "python", "-c", ""), command("bad", "python", "-c", "raise SystemExit(3)"))
    assert run_layer(Layer("it", ".", 1, steps), tmp_path) == Count(1, 1, ("exit code 3",))


def test_an_exit_code_that_the_report_does_not_explain_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
    assert count_report(tmp_path / "report.xml", 0) == Count(1)
    assert count_report(tmp_path / "report.xml", 2).failed == 1


def test_a_fall_of_coverage_is_shown() -> None:
    assert "FELL by 1.5" in compare_coverage(88.5, 90.0)
    assert "record" in compare_coverage(91.0, 90.0).partition(";")[2]
    assert compare_coverage(90.0, 90.0).endswith("recorded 90.0 %")


def test_every_folder_of_tests_is_in_the_table() -> None:
    no_tests = {"support", "checkers"}
    folders = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name not in no_tests and any(path.rglob("test_*.py"))
    }
    assert folders <= {layer.name for layer in LAYERS}

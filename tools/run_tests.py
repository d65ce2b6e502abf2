"""Run layers of tests, count everything, and end with one line: ``N passed, N failed``.

Usage: ``python -m tools.run_tests all|LAYER...``. Each step is a process with a log in build/logs;
pytest's are counted by their reports in build/reports. What cannot be counted is a failure, never a
pass: a crash, a time-out, a run without tests, a skipped test. It must never retry a test.
"""

import argparse
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.layers import LAYERS, Layer, Step

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
TAIL_LINES = 60


@dataclasses.dataclass(frozen=True)
class Count:
    """How many tests passed and failed, and why a failure is one."""

    passed: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()

    def __add__(self, other: "Count") -> "Count":
        return Count(self.passed + other.passed, self.failed + other.failed, self.reasons + other.reasons)


def count_command(code: int) -> Count:
    """One test, by its exit code."""
    return Count(passed=1) if code == 0 else Count(failed=1, reasons=(f"exit code {code}",))


def count_report(report: Path, code: int) -> Count:
    """The tests of a pytest run by its JUnit report; a report that disagrees with the exit code counts as one more failure."""
    try:
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it a moment ago
    except (OSError, ET.ParseError):
        return Count(failed=1, reasons=(f"no report; exit code {code}",))
    bad = {tag: [_name(case) for case in cases if case.find(tag) is not None] for tag in ("failure", "error", "skipped")}
    names = {name for some in bad.values() for name in some}
    reasons = tuple(f"{tag}: {name}" for tag, some in bad.items() for name in some)
    passed = sum(_name(case) not in names for case in cases)
    if not cases:
        return Count(failed=1, reasons=(f"no tests were found; exit code {code}",))
    if code != 0 and not names:
        return Count(passed, 1, (*reasons, f"exit code {code} although no test failed"))
    return Count(passed, len(names), reasons)


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '')}::{case.get('name', '')}"


class Run:
    """One step's process, its log and its report."""

    def __init__(self, layer: Layer, step: Step, build: Path, root: Path) -> None:
        self.step = step
        self.log = build / "logs" / f"{layer.name}.{step.name}.log"
        self.report = build / "reports" / f"{layer.name}.{step.name}.xml"
        for path in (self.log, self.report):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        extra = [f"--junitxml={self.report}"] if step.pytest else []
        program, *words = step.command
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(BIN / program), *words, *extra],
                cwd=root,
                env=_environment(build, layer, step),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def result(self, deadline: float) -> Count:
        """Wait until ``deadline`` (monotonic seconds) at most, and count."""
        try:
            code = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
            return Count(failed=1, reasons=(f"{self.step.name} did not end in time",))
        return count_report(self.report, code) if self.step.pytest else count_command(code)

    def stop(self) -> None:
        """End the step's processes, first politely."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                return


def _environment(build: Path, layer: Layer, step: Step) -> Mapping[str, str]:
    data = build / "coverage" / f"data.{layer.name}.{step.name}"
    data.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join((str(BIN), os.environ.get("PATH", os.defpath)))
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "COVERAGE_FILE": str(data), "PYTHONUNBUFFERED": "1"}


def run_layer(layer: Layer, build: Path, root: Path = ROOT) -> Count:
    """Run the steps of a layer side by side, and print one line, and the end of the log of what failed."""
    start = time.monotonic()
    runs: list[Run] = []
    total = Count()
    try:
        runs.extend(Run(layer, step, build, root) for step in layer.steps)
        for run in runs:
            count = run.result(start + layer.minutes * 60)
            if count.failed:
                _show_failure(layer, run, count)
            total += count
    finally:
        for run in runs:
            if run.process.poll() is None:
                run.stop()
    print(f"{layer.name:<12} {total.passed:>5} passed {total.failed:>4} failed {time.monotonic() - start:>7.1f} s", flush=True)
    return total


def _show_failure(layer: Layer, run: Run, count: Count) -> None:
    lines = run.log.read_text(errors="replace").splitlines()
    print(f"---- {layer.name}: {run.step.name} failed; the end of {run.log.relative_to(run.log.parents[2])}:", flush=True)
    print("\n".join(lines[-TAIL_LINES:]))
    print("\n".join(f"  {reason}" for reason in count.reasons), flush=True)


def show_coverage(build: Path, recorded: Path) -> str:
    """The coverage of what ran, beside the recorded figure. A fall is shown, not punished."""
    parts = [str(path) for path in sorted((build / "coverage").glob("data.*"))]
    if not parts:
        return "coverage     not measured"
    environment = {**os.environ, "COVERAGE_FILE": str(build / "coverage" / "all")}
    coverage = str(BIN / "coverage")
    subprocess.run([coverage, "combine", "--keep", "--quiet", *parts], cwd=ROOT, env=environment, check=False)
    report = [coverage, "report", "--format=total", "--precision=1"]
    answer = subprocess.run(report, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    with contextlib.suppress(OSError, ValueError):
        return compare_coverage(float(answer.stdout), float(recorded.read_text()))
    return f"coverage     could not be measured: {(answer.stdout + answer.stderr).strip()}"


def compare_coverage(now: float, then: float) -> str:
    """One line about two percentages."""
    line = f"coverage     {now:.1f} % of breezeblock; recorded {then:.1f} %"
    if now < then - 0.05:
        return f"{line}: IT FELL by {then - now:.1f}"
    return f"{line}: it rose, so record it in tests/coverage.txt" if now > then + 0.05 else line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when nothing failed."""
    names = [layer.name for layer in LAYERS]
    parser = argparse.ArgumentParser(prog="tools.run_tests", description=__doc__)
    parser.add_argument("layers", nargs="+", choices=["all", *names])
    asked = parser.parse_args(arguments).layers
    build = ROOT / "build"
    shutil.rmtree(build / "coverage", ignore_errors=True)
    start = time.monotonic()
    total = Count()
    for layer in LAYERS:
        if ("all" in asked or layer.name in asked) and (ROOT / layer.needs).exists():
            total += run_layer(layer, build)
    if "all" in asked:
        print(show_coverage(build, ROOT / "tests" / "coverage.txt"))
    if total == Count():
        total = Count(failed=1)
        print("nothing ran")
    print(f"{'together':<12} {time.monotonic() - start:.1f} s")
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""House style as tests, with ratchets: what is recorded as too long may only shrink.

Every check is a function from a tree (its root) to complaints, so that each is shown to fail on a
small made-up tree below.
"""

import ast
import importlib.metadata
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
Check = Callable[[Path], list[str]]

NOT_OURS = {".git", ".venv", "build", "dist", "state", "__pycache__", "node_modules", "results"}
NOT_OURS_SUFFIXES = ("_cache", ".egg-info", ".hypothesis")

MOST_LINES_OF_A_FILE = 500
LONG_FILES: dict[str, int] = {}
"""path: lines. Only for a file that is better whole; the figure may fall, never rise."""

MOST_LINES_OF_A_FUNCTION = 70
LONG_FUNCTIONS: dict[str, int] = {}
"""path::name: lines without the docstring. The figure may fall, never rise."""

TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".yaml", ".yml", ".html", ".css", ".js", ".mako", ".ini", ".conf", ""}
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
PLACES = re.compile("/wo" + "rk/|/tmp/b" + r"b\b|/ro" + r"ot/|\.\./sha" + "red|pythonho" + "sted|/sim" + "ple/|deb" + r"ian\.org")
FETCHES = re.compile(r"[a-z]+://")
FRAGMENT_NAME = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md")
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==[0-9][A-Za-z0-9.+!-]*")


def files(root: Path) -> Iterator[Path]:
    """Every text file of the repository."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(n for n in folders if n not in NOT_OURS and not n.endswith(NOT_OURS_SUFFIXES))
        yield from (Path(folder, name) for name in sorted(names) if Path(name).suffix in TEXT and name != ".git")


def python_files(root: Path) -> Iterator[tuple[str, ast.Module, str]]:
    """Every Python file: its path inside the repository, its tree and its text."""
    for path in files(root):
        if path.suffix == ".py":
            text = path.read_text()
            yield path.relative_to(root).as_posix(), ast.parse(text), text


def ratchet(found: dict[str, int], most: int, recorded: dict[str, int], table: str) -> list[str]:
    """Complain about what is longer than ``most`` or its record, and about records that could fall."""
    complaints = [
        f"{name}: {lines} lines, more than {recorded.get(name, most)}" for name, lines in found.items() if lines > recorded.get(name, most)
    ]
    complaints += [
        f"{name}: lower its figure in {table} to {found.get(name, 0)}" for name, lines in recorded.items() if found.get(name, 0) < lines
    ]
    return complaints


def file_lengths(root: Path, recorded: dict[str, int] | None = None) -> list[str]:
    """No Python file is longer than MOST_LINES_OF_A_FILE."""
    found = {path: len(text.splitlines()) for path, _, text in python_files(root)}
    return ratchet(found, MOST_LINES_OF_A_FILE, LONG_FILES if recorded is None else recorded, "LONG_FILES")


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{node.name}" if prefix else node.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node, clean=False) is not None
            saved = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
            yield name, (node.end_lineno or node.lineno) - node.lineno + 1 - saved
        yield from _functions(node, name)


def function_lengths(root: Path, recorded: dict[str, int] | None = None) -> list[str]:
    """No function is longer than MOST_LINES_OF_A_FUNCTION; migrations, which are lists of tables, are exempt."""
    found = {
        f"{path}::{name}": lines
        for path, tree, _ in python_files(root)
        if "/migrations/versions/" not in path
        for name, lines in _functions(tree, "")
    }
    return ratchet(found, MOST_LINES_OF_A_FUNCTION, LONG_FUNCTIONS if recorded is None else recorded, "LONG_FUNCTIONS")


def docstrings(root: Path) -> list[str]:
    """Every module says what it is for."""
    return [f"{path}: no docstring" for path, tree, _ in python_files(root) if not (ast.get_docstring(tree) or "").strip()]


def _lines(root: Path, pattern: re.Pattern[str], chosen: Callable[[Path], bool], why: str) -> list[str]:
    return [
        f"{path.relative_to(root)}:{number}: {why}: {found[0]}"
        for path in files(root)
        if chosen(path)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if (found := pattern.search(line))
    ]


def unfinished(root: Path) -> list[str]:
    """Nothing is left for later in a comment."""
    return _lines(root, UNFINISHED, lambda path: path.name != "LICENSE", "unfinished")


def places(root: Path) -> list[str]:
    """Nothing names a place of the machine that it was written on, nor a download host."""
    return _lines(root, PLACES, lambda path: path.name != "LICENSE", "a place")


def fetches(root: Path) -> list[str]:
    """What installs names packages and versions, never an address."""
    install = ("pyproject.toml", "constraints.txt", "Makefile", "bootstrap", "packages-run.txt", "packages-test.txt")
    return _lines(root, FETCHES, lambda path: path.name in install, "an address")


def fragments(root: Path) -> list[str]:
    """Each file of changelog.d is one sentence about one change."""
    complaints = []
    for path in sorted((root / "changelog.d").glob("*")):
        text = path.read_text()
        if path.name == "README.md":
            continue
        if not FRAGMENT_NAME.fullmatch(path.name):
            complaints.append(f"{path.name}: the name is not NAME.(added|changed|fixed|removed|security).md")
        if len(text.splitlines()) != 1 or not text.endswith(".\n") or len(text) > 300:
            complaints.append(f"{path.name}: not one line of one sentence, under 300 characters, with its full stop")
    return complaints


def pins(root: Path) -> list[str]:
    """constraints.txt holds `name==version` lines alone, sorted, each name once."""
    lines = (root / "constraints.txt").read_text().splitlines()
    complaints = [f"constraints.txt: {line!r} is no name==version" for line in lines if not PIN.fullmatch(line)]
    names = [canonicalize_name(line.partition("==")[0]) for line in lines]
    complaints += [f"constraints.txt: {name} stands twice" for name in sorted(set(names)) if names.count(name) > 1]
    return complaints if names == sorted(names) else [*complaints, "constraints.txt: not sorted by name"]


def _applies(requirement: Requirement, asked: frozenset[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *asked))


def unpinned(root: Path) -> list[str]:
    """Every package that pyproject.toml names, and all that those bring, has a line in constraints.txt."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    pinned = {canonicalize_name(line.partition("==")[0]) for line in (root / "constraints.txt").read_text().splitlines()}
    extras = project["project"].get("optional-dependencies", {})
    texts = [*project["build-system"]["requires"], *project["project"]["dependencies"], *(t for some in extras.values() for t in some)]
    todo = [Requirement(text) for text in texts]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted = todo.pop()
        name, asked = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, asked) in seen:
            continue
        seen.add((name, asked))
        try:
            brought = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # only needed to build the package, in an environment of its own
        todo += [text for text in map(Requirement, brought) if _applies(text, asked)]
    return [f"constraints.txt: {name} has no line" for name in sorted({name for name, _ in seen} - pinned)]


def skips(root: Path) -> list[str]:
    """No test is skipped or expected to fail: what cannot run here is not a test of this repository."""
    words = {"skip", "skipif", "skipIf", "skipUnless", "xfail", "importorskip", "SkipTest"}
    return [
        f"{path}:{node.lineno}: {node.attr}"
        for path, tree, _ in python_files(root)
        if path.startswith("tests/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in words
    ]


CHECKS: tuple[Check, ...] = (file_lengths, function_lengths, docstrings, unfinished, places, fetches, fragments, pins, unpinned, skips)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_repository_is_tidy(check: Check) -> None:
    assert check(ROOT) == []


PROJECT = '[build-system]\nrequires = []\n[project]\ndependencies = ["pytest"]\n'


@pytest.mark.parametrize(
    ("check", "tree", "complaint"),
    [
        (file_lengths, {"a.py": "#\n" * 501}, "501 lines"),
        (function_lengths, {"a.py": "class A:\n def f():\n" + "  x = 1\n" * 70}, "a.py::A.f: 71 lines"),
        (docstrings, {"a.py": "x = 1\n"}, "a.py: no docstring"),
        (unfinished, {"docs/a.md": "TO" + "DO: write\n"}, "docs/a.md:1: unfinished"),
        (places, {"a.py": "x = '/wo" + "rk/main'\n"}, "a.py:1: a place"),
        (fetches, {"tools/bootstrap": "curl https://example.org\n"}, "an address"),
        (fragments, {"changelog.d/extend.new.md": "Volumes grow.\n"}, "the name"),
        (fragments, {"changelog.d/extend.added.md": "Volumes grow.\nAnd shrink.\n"}, "not one line"),
        (fragments, {"changelog.d/extend.added.md": "volumes grow\n"}, "not one line"),
        (pins, {"constraints.txt": "a>=1\n"}, "no name==version"),
        (pins, {"constraints.txt": "a==1\na==2\n"}, "twice"),
        (pins, {"constraints.txt": "b==1\na==2\n"}, "not sorted"),
        (pins, {"constraints.txt": "a @ file:a.whl\n"}, "no name==version"),
        (unpinned, {"constraints.txt": "pytest==1\n", "pyproject.toml": PROJECT}, "pluggy has no line"),
        (skips, {"tests/a.py": "@pytest.mark.skip\ndef test(): ...\n"}, "tests/a.py:1: skip"),
        (skips, {"tests/a.py": "def test():\n pytest.xfail()\n"}, "tests/a.py:2: xfail"),
    ],
)
def test_each_check_can_fail(check: Check, tree: dict[str, str], complaint: str, tmp_path: Path) -> None:
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = check(tmp_path)
    assert any(complaint in line for line in found), found


def test_a_record_may_fall_and_never_rise() -> None:
    assert ratchet({"a": 600}, 500, {"a": 600}, "T") == []
    assert ratchet({"a": 601}, 500, {"a": 600}, "T") == ["a: 601 lines, more than 600"]
    assert ratchet({"a": 550}, 500, {"a": 600}, "T") == ["a: lower its figure in T to 550"]

"""The list of microversions is whole, and only its own module compares numbers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.core.versions import HIGH, LOW, RequestVersion, V

ROOT = Path(__file__).resolve().parent.parent
OWN = "breezeblock/core/versions.py"


def comparisons(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module looks at a version's number itself, or compares with a literal (major, minor)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"number", "_number"}:
            yield node.lineno, f".{node.attr}: use version.has(), str(V.X) or RequestVersion.of(V.X)"
        elif isinstance(node, ast.Compare):
            yield from ((side.lineno, ast.unparse(side)) for side in (node.left, *node.comparators) if _looks_like_a_version(side))


def _looks_like_a_version(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Tuple)
        and len(node.elts) == 2
        and all(isinstance(part, ast.Constant) and isinstance(part.value, int) for part in node.elts)
        and ast.literal_eval(node)[0] == 3
    )


def test_the_numbers_have_no_gap_and_no_duplicate() -> None:
    assert [version.number for version in V] == [(3, minor) for minor in range(72)]
    assert (LOW.number, HIGH.number) == ((3, 0), (3, 71))


def test_a_duplicate_would_be_seen() -> None:
    # An enum makes two members of one value an alias: the shorter list is what the test above refuses.
    assert len(V.__members__) == len(list(V)) == 72


def test_every_text_is_a_sentence() -> None:
    assert [version.name for version in V if not version.text.endswith(".") or version.text != version.text.strip()] == []


def test_a_version_is_written_as_people_write_it() -> None:
    assert (str(V.EXTEND_IN_USE), str(RequestVersion.of(V.EXTEND_IN_USE))) == ("3.42", "3.42")


def test_only_the_list_compares_numbers() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sorted((ROOT / "breezeblock").rglob("*.py"))
        if path.relative_to(ROOT).as_posix() != OWN
        for line, what in comparisons(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["if version.number > 3: ...", "x = request._number", "v >= (3, 27)", "(3, 4) <= v < (3, 9)"])
def test_a_comparison_elsewhere_is_found(text: str) -> None:
    assert list(comparisons(ast.parse(text)))


@pytest.mark.parametrize("text", ["version.has(V.GROUPS)", "size == (1, 2)", "point = (3, 4)"])
def test_what_compares_no_version_is_left_alone(text: str) -> None:
    assert not list(comparisons(ast.parse(text)))

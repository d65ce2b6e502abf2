"""The stories know nothing of the product but its address."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import blackbox, live, service

TOLD = [*Path(__file__).parent.glob("*.py"), *(Path(str(module.__file__)) for module in (blackbox, live, service))]


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", TOLD, ids=lambda path: path.name)
def test_no_story_imports_the_product(path: Path) -> None:
    assert [name for name in imported(path) if name.partition(".")[0] == "breezeblock"] == []

"""The generated pages are what the code would print now."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from breezeblock.cli.main import cli

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.mark.parametrize("page", ["commands", "configuration"])
def test_a_generated_page_is_up_to_date(page: str) -> None:
    made = CliRunner().invoke(cli, ["reference", page])
    assert made.exit_code == 0
    assert (PAGES / f"{page}.md").read_text() == made.output, f"run: breezeblock reference {page} > docs/reference/{page}.md"

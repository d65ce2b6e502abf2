"""``breezeblock db``, on a database that it makes."""

from pathlib import Path

from click.testing import CliRunner

from breezeblock.cli.main import cli


def command(*words: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(cli, words)
    return result.exit_code, result.output


def test_the_database_is_made_and_its_version_is_shown(tmp_path: Path) -> None:
    code, text = command("db", "version", "--state-dir", str(tmp_path))
    assert (code, text.strip()) == (0, "no revision: there is no schema yet")
    assert command("db", "migrate", "--state-dir", str(tmp_path))[0] == 0
    code, text = command("db", "version", "--state-dir", str(tmp_path))
    assert (code, text.strip().partition(": ")[2]) == (0, "it has all that this version needs")

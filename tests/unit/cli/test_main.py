"""The command line: help, versions, refusals with their exit codes."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from breezeblock.cli import main, parts
from breezeblock.cli.main import cli


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, words)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "words", [(), ("serve",), ("api",), ("worker",), ("db",), ("db", "migrate"), ("exports",), ("exports", "stop"), ("version",)]
)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    code, text = run(*words, "--help")
    assert code == 0
    assert "Usage:" in text
    assert text.count("\n") > 5


def test_version() -> None:
    code, text = run("version")
    assert code == 0
    assert "Block Storage API 3.0 to 3.71" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--role", "scheduler", "--backend", "local"), "a scheduler worker serves no backend"),
        (("--role", "volume", "--backend", "other"), "not enabled: other; enabled are local"),
        (("--role", "cook"), "'cook' is not one of"),
        ((), "Missing option '--role'"),
    ],
)
def test_a_worker_that_makes_no_sense_is_refused(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    code, text = run("worker", "--state-dir", str(tmp_path), *words)
    assert code == 2
    assert reason in text


def test_a_bad_configuration_has_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.conf"
    file.write_text("[api]\nworkers = many\n")
    monkeypatch.setattr(sys, "argv", ["breezeblock", "db", "migrate", "--state-dir", str(tmp_path), "--config", str(file)])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 78
    assert f"Error: The configuration cannot be used: section [api] of {file}: workers = 'many'" in capsys.readouterr().err


def test_the_state_directorys_own_file_is_read_unless_another_is_named(tmp_path: Path) -> None:
    (tmp_path / "breezeblock.conf").write_text("[api]\nworkers = 3\n")
    other = tmp_path / "other.conf"
    other.write_text("[api]\nworkers = 5\n")
    assert parts.settings((), tmp_path, None).api.workers == 3
    assert parts.settings((other,), tmp_path, None).api.workers == 5
    assert parts.settings((), tmp_path, "127.0.0.1:1").api.bind == "127.0.0.1:1"


def test_what_nobody_reads_is_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "breezeblock.conf").write_text("[api]\nworkerz = 3\n")
    parts.settings((), tmp_path, None)
    assert "WARNING breezeblock - - breezeblock.config:" in capsys.readouterr().err

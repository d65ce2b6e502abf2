"""The how-to guides hold: their commands work on a service that is configured as they say, and what they quote is what the code says."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

from tests.docs.test_tutorial import DOCUMENTED, Shell, clone
from tests.support.service import ROOT, Service, await_, running

GUIDES = ROOT / "docs" / "how-to"
FEWEST_QUOTES = 20


def block(page: str, language: str) -> list[str]:
    """The text of each block of a language, without its indentation."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", (GUIDES / page).read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for text in found]


def commands(page: str) -> list[str]:
    """The lines for a shell."""
    return [line for text in block(page, "sh") for line in text.splitlines()]


@pytest.mark.timeout(180)
def test_two_backends_and_the_three_commands(tmp_path: Path) -> None:
    clone(tmp_path)
    [config] = block("configure-backends.md", "ini")
    with running(Service(tmp_path / "state", config)) as service:
        service.start()
        assert {"volume:fast", "volume:large"} <= set(service.roles())
        shell = Shell(tmp_path)
        try:
            shell.run('export PATH="$PWD/.venv/bin:$PATH" OS_VOLUME_API_VERSION=3.71 OS_AUTH_TYPE=none')
            shell.run(f"export OS_ENDPOINT={service.url}")
            _backends(service, shell)
            _recovery(service, shell)
        finally:
            shell.close()


def _backends(service: Service, shell: Shell) -> None:
    for line in commands("configure-backends.md"):
        shell.run(line)
    await_(lambda: service.ask("GET", "/volumes/detail?all_tenants=1")[1]["volumes"][0]["status"] == "available", 20, service.tail)
    assert "@large#" in shell.run("openstack volume show -f value -c os-vol-host-attr:host first-large")
    assert set(re.findall(r"@(\w+)#", shell.run("openstack volume backend pool list -f value"))) == {"fast", "large"}


def _recovery(service: Service, shell: Shell) -> None:
    health, services, reset, counts = commands("recover.md")
    assert health == f"curl -si {DOCUMENTED}/healthcheck"
    assert service.health() == 200
    listed = shell.run(services)
    assert (listed.count(" enabled "), listed.count(" down ")) == (3, 0)
    shell.run("openstack volume set --state error first-large")
    assert shell.run(counts).split() == ["1", "error"]
    shell.run(reset.replace("VOLUME", "first-large"))
    assert shell.run(counts).split() == ["1", "available"]


def quotes(page: str) -> set[str]:
    """What the first column of the page's tables quotes, in pieces between ``...``."""
    cells = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    pieces = {piece.strip() for cell in cells for quote in re.findall(r"`([^`]+)`", cell) for piece in quote.split("...")}
    return {piece for piece in pieces if len(piece) > 2}


def said(root: Path) -> str:
    """Every text in the code of the package: its constants, the parts of f-strings, and docstrings, which are errors' messages."""
    texts = []
    for path in sorted((root / "breezeblock").rglob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        texts += [" ".join(node.value.split()) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(texts)


def test_every_quoted_line_is_one_that_the_code_says() -> None:
    code = re.sub(r"%[.\d]*[sdgf]|{\w+}", "", said(ROOT))
    found = quotes((GUIDES / "recover.md").read_text())
    assert len(found) >= FEWEST_QUOTES
    assert [quote for quote in sorted(found) if quote not in code] == []


def test_a_quote_is_cut_where_the_page_leaves_something_out() -> None:
    assert quotes("| `worker ... was fenced` | so |\n| a `volume` | `not this` |\n") == {"worker", "was fenced", "volume"}

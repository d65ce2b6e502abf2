"""The documentation hangs together: links lead somewhere, every page is reachable, and what is named exists.

Every check is a function from a tree (its root) to complaints, so that each is shown to fail on a small made-up tree.
"""

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breezeblock.api.routes import ROUTES
from breezeblock.cli.main import cli
from breezeblock.config.load import load
from breezeblock.drivers.registry import driver_class

ROOT = Path(__file__).resolve().parents[2]
Check = Callable[[Path], list[str]]
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
OUTSIDE = re.compile(r"[a-z]+:")
MACHINE = re.compile(r"(?<![\w.$}])/(?:root|home|tmp|work|media)\b[/\w.-]*")
MAKE = re.compile(r"`make ([a-z]+)[^`]*`|^(?:\$ |    )make ([a-z]+)", re.MULTILINE)
COMMAND = re.compile(r"`breezeblock ([a-z][a-z-]*)")


def pages(root: Path) -> list[Path]:
    """Every page that people read."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links that do not lead out of the repository."""
    yield from (target for target in LINK.findall(CODE.sub("", page.read_text())) if not OUTSIDE.match(target))


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be linked by, as forges make them."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(page.read_text())}


def broken_links(root: Path) -> list[str]:
    """Every relative link resolves, its fragment too."""
    complaints = []
    for page in pages(root):
        for link in links(page):
            path, _, fragment = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or not target.is_relative_to(root):
                complaints.append(f"{page.relative_to(root)}: {link} leads nowhere")
            elif fragment and fragment not in anchors(target):
                complaints.append(f"{page.relative_to(root)}: {link} has no such heading")
    return complaints


def lost_pages(root: Path) -> list[str]:
    """Every page of docs/ is reached from docs/README.md by links, and that from README.md."""
    reached, ahead = set(), [root / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        if page.is_relative_to(root / "docs") or page == root / "README.md":
            ahead += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if not link.startswith("#")]
    return [
        f"{page.relative_to(root)}: no link leads here"
        for page in pages(root)
        if page.is_relative_to(root / "docs") and page not in reached
    ]


def machine_paths(root: Path) -> list[str]:
    """No page names a place of one machine."""
    return [
        f"{page.relative_to(root)}:{number}: {found[0]}"
        for page in pages(root)
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if (found := MACHINE.search(line))
    ]


def unknown_targets(root: Path) -> list[str]:
    """Every `make TARGET` exists, with a line in `make help`."""
    known = set(re.findall(r"^([a-z-]+):.*## ", (root / "Makefile").read_text(), re.MULTILINE))
    return [
        f"{page.relative_to(root)}: there is no make {name}"
        for page in pages(root)
        for name in {first or second for first, second in MAKE.findall(page.read_text())} - known
    ]


CHECKS: tuple[Check, ...] = (broken_links, lost_pages, machine_paths, unknown_targets)


@pytest.mark.parametrize("check", CHECKS)
def test_the_documentation_hangs_together(check: Check) -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (broken_links, "docs/README.md", "[a](nowhere.md)\n"),
        (broken_links, "docs/README.md", "[a](../../outside.md)\n"),
        (broken_links, "docs/README.md", "[a](page.md#nothing)\n"),
        (lost_pages, "docs/alone.md", "# Alone\n"),
        (machine_paths, "docs/page.md", "It is in /ho" + "me/me/state.\n"),
        (unknown_targets, "README.md", "[docs](docs/README.md): `make nothing`\n"),
    ],
)
def test_each_check_can_fail(tmp_path: Path, check: Check, path: str, text: str) -> None:
    for name, written in {
        "README.md": "[docs](docs/README.md)\n",
        "docs/README.md": "[page](page.md#the-page-itself)\n`[no](link.md)`\n",
        "docs/page.md": "# The `page`, itself\n\n    make run\n",
        "Makefile": "run: ## run it\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(written)
    assert check(tmp_path) == []
    (tmp_path / path).write_text(text)
    assert len(check(tmp_path)) == 1


def test_the_documented_configuration_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "configure-backends.md").read_text()
    [block] = re.findall(r"^ *```ini\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
    file = tmp_path / "breezeblock.conf"
    file.write_text(textwrap.dedent(block))
    settings = load([file], lambda name: driver_class(name).options, state_path=tmp_path, environment=False)
    fast, large = settings.backends
    assert settings.warnings == ()
    assert (fast.name, fast.common.max_over_subscription_ratio, fast.common.reserved_percentage) == ("fast", 4.0, 5)
    assert (large.name, large.common.max_over_subscription_ratio, large.common.reserved_percentage) == ("large", 10.0, 5)
    assert [backend.driver_options["file_path"] for backend in settings.backends] == [f"{tmp_path}/fast", f"{tmp_path}/large"]


def test_what_is_not_covered_is_not_there() -> None:
    page = (ROOT / "docs" / "reference" / "coverage.md").read_text()
    missing = re.findall(r"`(/[a-z][^`]*)`", page)
    served = {re.sub(r"{\w+}", "{id}", route.path) for route in ROUTES}
    assert len(missing) > 20
    assert set(missing) & served == set()
    actions = set(re.findall(r"`(os-[a-z_-]+)`", page)) - {path.strip("/") for path in missing}
    assert len(actions) >= 8
    assert actions & {route.action for route in ROUTES} == set()


def test_the_commands_that_are_named_exist() -> None:
    named = {name for page in pages(ROOT) for name in COMMAND.findall(page.read_text())}
    assert named
    assert named <= set(cli.commands)

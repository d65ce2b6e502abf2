"""The shape of the code as tests: verbs read top to bottom, and nothing reaches across what it must not.

Layers are the import linter's (pyproject.toml). Here stand the rules it has no words for: the order
inside a verb's file, what a verb may import, what a driver may import, and who may import a driver.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
Check = Callable[[Path], list[str]]

NO_VERBS = {"__init__", "table", "states", "view", "rules"}
"""What stands beside the verbs, under the same names in every resource."""
SHARED: frozenset[tuple[str, str]] = frozenset(
    {("attachments", "connection"), ("attachments", "listing"), ("volumes", "listing"), ("volumes", "removal"), ("snapshots", "removal")}
)
"""(resource, module): further helpers of one resource's own verbs."""
ELSEWHERE = {"table", "states", "rules"}
"""What a resource may import of another."""
COMPOSITION = ("breezeblock.worker", "breezeblock.cli")
"""Who may import the registry of drivers: where a process is put together."""
RESOURCE_WORDS = ("volume", "snapshot", "attachment", "backup")
"""What core may not say in its code. Its prose, and the list of microversions, may."""

ORDER = ("BODY", "QUERY", "the transition", "request", "schedule", "run", "undo", "VERB")
"""A verb from top to bottom. The third is the transition, its guards and its payload, whatever their names."""
DATA = ORDER.index("the transition")
CATALOGUE = "breezeblock.resources.catalogue"
"""The one literal list of the manifests."""
DRIVER_TYPES = {"VolumeDriver"}
"""What the drivers' interface calls its parts, for core to say."""


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Each module of the package, by its dotted name."""
    for path in sorted((root / "breezeblock").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


def imports(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """The modules of the package that ``tree`` imports anywhere; ``from a import b`` is a.b where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("breezeblock."))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                yield f"(relative) {base}"
            elif base.split(".")[0] == "breezeblock":
                yield from (full if (full := f"{base}.{alias.name}") in known else base for alias in node.names)


def _bound(node: ast.stmt) -> list[str]:
    """The public names that a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    else:
        names = []
    return [name for name in names if not name.startswith("_") and name != "log"]


def verb_order(name: str, tree: ast.Module) -> list[str]:
    """Docstring, then ORDER; private helpers and the logger stand where they read best."""
    complaints = [] if ast.get_docstring(tree) else [f"{name}: no picture in a docstring"]
    reached, seen = 0, set()
    for node in tree.body:
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for bound in _bound(node):
            seen.add(bound)
            if is_function and bound not in ORDER:
                complaints.append(f"{name}: {bound} is public, but a verb's functions are request, schedule, run and undo")
                continue
            stage = ORDER.index(bound) if bound in ORDER else DATA
            if stage < reached:
                complaints.append(f"{name}: {bound} stands after {ORDER[reached]}")
            reached = max(reached, stage)
    if "request" not in seen:
        complaints.append(f"{name}: no request")
    if ("run" in seen) != ("VERB" in seen):
        complaints.append(f"{name}: run and VERB, the job's part, come together")
    return complaints


def verb_shapes(root: Path) -> list[str]:
    """Every verb file of the resources has the one order."""
    return [line for name, tree in modules(root) if is_verb(name) for line in verb_order(name, tree)]


def is_verb(name: str) -> bool:
    """Whether the module of that name is a verb: breezeblock.resources.<resource>.<verb>."""
    parts = name.split(".")
    return parts[:2] == ["breezeblock", "resources"] and len(parts) == 4 and parts[3] not in NO_VERBS and tuple(parts[2:]) not in SHARED


def verb_imports(root: Path) -> list[str]:
    """No verb is imported but by its manifest; of another resource only table, states and rules are."""
    tree_of = dict(modules(root))
    known, complaints = set(tree_of), []
    for name, tree in tree_of.items():
        parts = name.split(".")
        if parts[:2] != ["breezeblock", "resources"] or len(parts) < 3 or name == CATALOGUE:
            continue
        for target in imports(name, tree, known):
            there = target.split(".")
            if target.startswith("(relative)"):
                complaints.append(f"{name} imports {target}: say the whole name")
            elif there[:2] != ["breezeblock", "resources"] or len(there) < 3:
                continue
            elif there[2] != parts[2]:
                if len(there) < 4 or there[3] not in ELSEWHERE:
                    complaints.append(f"{name} imports {target}: of another resource only {', '.join(sorted(ELSEWHERE))}")
            elif len(parts) == 4 and (len(there) < 4 or is_verb(target)):
                complaints.append(f"{name} imports {target}: verbs are imported by their manifest alone, and nobody in it imports that")
    return complaints


def driver_imports(root: Path) -> list[str]:
    """A driver imports the interface, errors and its own parts; others import the interface, the composition root also the registry."""
    tree_of = dict(modules(root))
    known, complaints = set(tree_of), []
    for name, tree in tree_of.items():
        parts = name.split(".")
        inside = parts[:2] == ["breezeblock", "drivers"] and len(parts) > 2
        for target in imports(name, tree, known):
            there = target.split(".")
            if inside:
                own = there[:3] == parts[:3] and len(there) >= 3
                allowed = own or there[:3] == ["breezeblock", "drivers", "interface"] or there[:2] == ["breezeblock", "errors"]
            elif there[:2] == ["breezeblock", "drivers"]:
                allowed = there[2:3] == ["interface"] or (name.startswith(COMPOSITION) and there[2:3] == ["registry"])
            else:
                continue
            if not allowed:
                complaints.append(f"{name} imports {target}")
    return complaints


def core_words(root: Path) -> list[str]:
    """The code of core names no resource."""
    complaints = []
    for name, tree in modules(root):
        if not name.startswith("breezeblock.core.") or name == "breezeblock.core.versions":
            continue
        for node in ast.walk(tree):
            said = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg", ast.FunctionDef: "name", ast.ClassDef: "name"}.get(type(node))
            text = getattr(node, said) if said else ""
            if text not in DRIVER_TYPES and any(word in text.lower() for word in RESOURCE_WORDS):
                complaints.append(f"{name}:{getattr(node, 'lineno', 0)}: {text}")
    return complaints


CHECKS = (verb_shapes, verb_imports, driver_imports, core_words)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_code_has_its_shape(check: Check) -> None:
    assert check(ROOT) == []


GOOD = '"""Picture."""\nBODY = 1\nQUERY = 2\nEXTEND = 3\ndef _helper(): ...\ndef request(): ...\ndef run(): ...\nVERB = 4\n'
VERB = "breezeblock/resources/volumes/extend.py"


@pytest.mark.parametrize(
    ("check", "tree", "complaint"),
    [
        (verb_shapes, {VERB: GOOD.partition("\n")[2]}, "no picture"),
        (verb_shapes, {VERB: GOOD.replace("def request(): ...\n", "")}, "no request"),
        (verb_shapes, {VERB: GOOD.replace("_helper", "helper")}, "helper is public"),
        (verb_shapes, {VERB: GOOD + "BODY = 1\n"}, "BODY stands after VERB"),
        (verb_shapes, {VERB: GOOD + "SHRINK = 1\n"}, "SHRINK stands after VERB"),
        (verb_shapes, {VERB: GOOD + "def request(): ...\n"}, "request stands after VERB"),
        (verb_shapes, {VERB: GOOD.replace("VERB = 4\n", "")}, "come together"),
        (verb_shapes, {VERB: GOOD + "def undo(): ...\n"}, "undo stands after VERB"),
        (verb_imports, {VERB: "from breezeblock.resources.volumes.create import X\n"}, "manifest alone"),
        (verb_imports, {VERB: "from breezeblock.resources import volumes\n"}, "manifest alone"),
        (verb_imports, {VERB: "from breezeblock.resources.snapshots import view\n"}, "of another resource only"),
        (verb_imports, {VERB: "def request():\n from breezeblock.resources.snapshots import create\n"}, "of another resource only"),
        (verb_imports, {VERB: "from breezeblock.resources import snapshots\n"}, "of another resource only"),
        (verb_imports, {VERB: "from . import create\n"}, "whole name"),
        (verb_imports, {"breezeblock/resources/volumes/view.py": "from breezeblock.resources.volumes import create\n"}, "manifest alone"),
        (driver_imports, {"breezeblock/drivers/nfs.py": "from breezeblock.drivers import rbd\n"}, "nfs imports breezeblock.drivers"),
        (driver_imports, {"breezeblock/drivers/nfs.py": "from breezeblock.config import Settings\n"}, "nfs imports breezeblock.config"),
        (driver_imports, {"breezeblock/core/jobs.py": "from breezeblock.drivers import registry\n"}, "jobs imports breezeblock.drivers"),
        (
            driver_imports,
            {"breezeblock/worker/loop.py": "from breezeblock.drivers.nfs import Driver\n"},
            "loop imports breezeblock.drivers.nfs",
        ),
        (core_words, {"breezeblock/core/jobs.py": "def claim(volume_id): ...\n"}, "jobs:1: volume_id"),
    ],
)
def test_each_check_can_fail(check: Check, tree: dict[str, str], complaint: str, tmp_path: Path) -> None:
    others = {
        f"breezeblock/resources/{name}.py": '"""A."""\n'
        for name in ("volumes/__init__", "volumes/create", "snapshots/__init__", "snapshots/view")
    }
    for name, text in {**others, "breezeblock/resources/snapshots/create.py": "", **tree}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = check(tmp_path)
    assert any(complaint in line for line in found), found


def test_a_good_verb_passes(tmp_path: Path) -> None:
    (tmp_path / VERB).parent.mkdir(parents=True)
    (tmp_path / VERB).write_text("" + GOOD.replace("BODY = 1", "from breezeblock.resources.snapshots import rules, table\nBODY = 1"))
    (tmp_path / "breezeblock/resources/snapshots").mkdir()
    for name in ("rules", "table"):
        (tmp_path / f"breezeblock/resources/snapshots/{name}.py").write_text("")
    assert [line for check in CHECKS for line in check(tmp_path)] == []

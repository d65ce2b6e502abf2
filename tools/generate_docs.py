"""Writes the pages of docs/reference that are made from the code. `make docs` runs it; a test fails when a page is stale.

Usage: ``python -m tools.generate_docs``. It must never state what the code does not hold as data.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from breezeblock import errors
from breezeblock.api.route import Route, rule_names
from breezeblock.api.routes import ROUTES
from breezeblock.cli import main as command_line
from breezeblock.cli import reference
from breezeblock.core.resource import Resource, Verb
from breezeblock.core.transitions import End
from breezeblock.core.versions import HIGH, LOW, V
from breezeblock.resources import catalogue

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = "<!-- Made by `make docs`. Change the code, then run it again. -->"

MICROVERSIONS = f"""# Microversions

The service speaks {LOW} to {HIGH}. Without the header a request gets {LOW} ([HTTP](http.md)). The name in the second column is what
the code calls the version. A version can be asked for also where the routes that it brought are not served yet
([coverage](coverage.md)).
"""
STATES = """# States

Each verb with a job moves its resource to a status on the way, and from there to one of two ends. The job's end and the new status are
one transaction, so a status on the way always has one unfinished job.

Not in the diagrams are the moves that need no job: `available`, `reserved`, `attaching`, `in-use` and `detaching` of a volume
follow from the counters of attachments on its own row, or are set by the older attach actions, by one compare-and-swap in the
request's transaction. A revert also puts its snapshot into `restoring`, and back at its end. An administrator's `os-reset_status`
cancels what runs and sets a status that something leads out of; `os-force_delete` cancels what runs, passes through `error`,
and so begins anywhere.
"""
ROUTES_PAGE = """# Routes

Every route below `/v3` or `/v3/PROJECT`, in the order of `breezeblock/api/routes.py`. An action is the one key of the body of a
POST. The file is where all that happens on the request stands, below `breezeblock/resources`. What is not here is answered
with 404 ([coverage](coverage.md)).
"""
ERRORS = """# Errors

Every error of the service. What stands in braces is filled in. A class with status 500 is met by workers and operators: it stands
in logs or in a user message, and a request never gets its text. [HTTP](http.md) has the envelope,
[recovery](../how-to/recover.md) what to do.
"""


def table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines)


def microversions() -> str:
    """Every microversion with its text for users."""
    rows = ((str(version), f"`{version.name}`", version.text) for version in V)
    return f"{MICROVERSIONS}\n{table(('version', 'name in the code', 'what it brought'), iter(rows))}"


def states() -> str:
    """The transitions of every resource, as a diagram and as a table."""
    resources = [resource for resource in catalogue.registry().resources.values() if resource.verbs]
    return "\n".join((STATES, "\n\n".join(_states_of(resource) for resource in resources)))


def _states_of(resource: Resource) -> str:
    rows = (
        (
            f"`{verb.name}`",
            ", ".join(f"{status} ({since})" for status, since in verb.transition.allowed.items()) or _anywhere(verb),
            verb.transition.via or "unchanged",
            _end(verb.transition.done),
            _end(verb.transition.failed),
            "runs again" if verb.takeover.value == "rerun" else "rolled back",
        )
        for verb in resource.verbs
    )
    heads = ("verb", "from (since microversion)", "on the way", "done", "failed", "after its worker's death")
    return "\n\n".join((f"## {resource.name.capitalize()}", *_diagram(resource), table(heads, iter(rows))))


def _anywhere(verb: Verb) -> str:
    return "nothing: the row is new" if verb.transition.via is not None else "as its guards say"


def _end(end: str | End | None) -> str:
    words: Mapping[Any, str] = {End.PREVIOUS: "as before", End.DELETED: "gone", None: "unchanged"}
    return words.get(end, str(end))


def _diagram(resource: Resource) -> Iterator[str]:
    moves = [move for verb in resource.verbs for move in _moves(verb)]
    names = {name for source, target, _ in moves for name in (source, target)}
    if moves:
        aliases = [f'    state "{name}" as {_alias(name)}' for name in sorted(names) if name != _alias(name)]
        lines = dict.fromkeys(f"    {_alias(source)} --> {_alias(target)}: {label}" for source, target, label in moves)
        yield "\n".join(("```mermaid", "stateDiagram-v2", *aliases, *lines, "```"))


def _alias(name: str) -> str:
    return name.replace("-", "_") if name != "[*]" else name


def _moves(verb: Verb) -> Iterator[tuple[str, str, str]]:
    transition, word = verb.transition, verb.name.partition(".")[2]
    if transition.via is None:
        return
    froms = list(transition.allowed) or ["[*]"]
    yield from ((source, transition.via, word) for source in froms)
    for end, label in ((transition.done, f"{word} done"), (transition.failed, f"{word} failed")):
        if end is End.PREVIOUS:
            yield from ((transition.via, source, f"{label} (as before)") for source in froms)
        elif end is not None:
            yield (transition.via, "[*]" if end is End.DELETED else str(end), label)


def routes() -> str:
    """The literal table of routes."""
    groups: dict[str, list[Route]] = {}
    for route in ROUTES:
        groups.setdefault(route.path.split("/")[1], []).append(route)
    heads = ("method", "path", "action", "since", "answers", "policy rule", "file")
    parts = [f"## {name}\n\n{table(heads, map(_route, found))}" for name, found in groups.items()]
    return "\n".join((ROUTES_PAGE, "\n\n".join(parts)))


def _route(route: Route) -> Sequence[str]:
    answers = (route.answers,) if isinstance(route.answers, int) else route.answers
    rules = " or ".join(f"`{rule}`" for rule in rule_names(route))
    since = str(route.since) if route.until is None else f"{route.since}, before {route.until}"
    file = "/".join(str(route.verb.__name__).split(".")[2:]) + ".py"
    action = f"`{route.action}`" if route.action else ""
    return route.method, f"`{route.path}`", action, since, ", ".join(map(str, answers)), rules, f"`{file}`"


def error_codes() -> str:
    """Every error class with its status and code."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.Error)]
    found.sort(key=lambda kind: inspect.getsourcelines(kind)[1])
    shown = ((str(kind.status), f"`{kind.code}`", " ".join((inspect.getdoc(kind) or "").split())) for kind in found)
    return f"{ERRORS}\n{table(('status', 'code', 'message'), iter(shown))}"


def marked(body: str) -> str:
    """A whole page, with the note that it is made."""
    return f"{NOTE}\n\n{body}\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": lambda: reference.commands(command_line.cli),
    "configuration.md": reference.configuration,
    "errors.md": lambda: marked(error_codes()),
    "microversions.md": lambda: marked(microversions()),
    "routes.md": lambda: marked(routes()),
    "states.md": lambda: marked(states()),
}


def main() -> None:
    """Write all pages."""
    for name in PAGES:
        (REFERENCE / name).write_text(PAGES[name]())
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()

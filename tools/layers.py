"""The layers of the tests, as one literal table: a later layer is one line.

It only says what is run, never how: see :mod:`tools.run_tests`.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Step:
    """One process of a layer.

    ``command`` is what follows the virtual environment's ``bin/``. With ``pytest`` its tests are
    counted from its report; any other command counts as one test, which passes with exit code 0.
    """

    name: str
    command: tuple[str, ...]
    pytest: bool = False


@dataclasses.dataclass(frozen=True)
class Layer:
    """Steps that run side by side, for at most ``minutes``; skipped as a whole where ``needs`` does not exist."""

    name: str
    needs: str
    minutes: float
    steps: tuple[Step, ...]


def command(name: str, *words: str) -> Step:
    """A step that is no pytest run."""
    return Step(name, words)


def suite(name: str, *paths: str, workers: int = 0, cover: bool = False) -> Step:
    """A pytest run over ``paths``; ``cover`` adds it to the coverage figure."""
    options = ["-q", "-p", "no:cacheprovider", *(("-n", str(workers)) if workers else ())]
    if cover:
        options += ["--cov", "--cov-report="]
    return Step(name, ("pytest", *options, *paths), pytest=True)


def folder(name: str, minutes: float, *, workers: int = 0, cover: bool = False) -> Layer:
    """The usual layer: one pytest run over ``tests/<name>``."""
    return Layer(name, f"tests/{name}", minutes, (suite(name, f"tests/{name}", workers=workers, cover=cover),))


LAYERS = (
    Layer(
        "check",
        "pyproject.toml",
        1,
        (
            command("format", "ruff", "format", "--check", "--quiet", "."),
            command("lint", "ruff", "check", "--quiet", "."),
            command("types", "mypy", "--no-error-summary"),
            command("imports", "lint-imports"),
            suite("tidy", "tests/test_tidy.py", "tests/test_shape.py", "tests/test_versions.py"),
        ),
    ),
    folder("tooling", 2),
    folder("unit", 2, workers=2, cover=True),
    folder("contract", 9, workers=2, cover=True),
    folder("crash", 5, workers=2),
    folder("api", 6, workers=2, cover=True),
    folder("clients", 5),
    folder("acceptance", 4),
    folder("faults", 6),
    folder("sim", 5, workers=2),
    folder("docs", 5),
    Layer("tour", "breezeblock/cli/tour", 4, (command("tour", "breezeblock", "tour"), suite("sabotage", "tests/tour"))),
)

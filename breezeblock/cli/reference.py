"""The reference pages of the command line and of the configuration, made from their declarations. Prints; changes nothing.

breezeblock reference commands       > docs/reference/commands.md
breezeblock reference configuration  > docs/reference/configuration.md
"""

from collections.abc import Iterator, Sequence
from typing import Any

import click
from oslo_config import cfg

from breezeblock.config import SECTIONS, BackendOptions, CoordinationSettings, Settings, options_of
from breezeblock.config.load import COORDINATION_PREFIX
from breezeblock.drivers.registry import BUILT_IN, driver_class

_INTRODUCTION = """# Configuration

Files in oslo.config's format, given by `--config`; without it, `breezeblock.conf` in the state directory or in
`/etc/breezeblock`. A later file wins over an earlier one, and an environment variable `OS_<SECTION>__<OPTION>` over all.
`$name` in a value stands for another option's value, `$$` for a dollar sign. What a file holds and nobody reads is
named in the log at the start; a wrong value stops it.

`enabled_backends` names the backends of a node; each has a section of that name. An option of a backend, its driver's own
included, is read from its section, then from `[backend_defaults]`, then from `[DEFAULT]`. In all of them
`$backend` stands for the backend's name and `$state_path` for the state directory.

    [DEFAULT]
    enabled_backends = fast, large
    reserved_percentage = 5

    [backend_defaults]
    max_over_subscription_ratio = 4

    [fast]
    file_path = /srv/nvme/volumes

    [large]
    file_path = /srv/disks/volumes
    max_over_subscription_ratio = 10
"""


def configuration() -> str:
    """The page of all options."""
    coordination = options_of(CoordinationSettings, COORDINATION_PREFIX)
    parts = [
        _INTRODUCTION,
        _section("[DEFAULT]", options_of(Settings)),
        *(_section(f"[{name}]", options_of(section)) for name, section in SECTIONS.items()),
        _section("Every backend", options_of(BackendOptions)),
        _section("Every backend: its own lock service, instead of [coordination]", [_without_default(opt) for opt in coordination]),
        *(_section(f"Backends with `volume_driver = {name}`", driver_class(name).options) for name in sorted(BUILT_IN)),
    ]
    return "\n".join(parts)


def commands(root: click.Command) -> str:
    """The page of all commands."""
    pages = ["# Commands\n", "What `breezeblock COMMAND --help` says.\n"]
    for context in _walk(click.Context(root, info_name="breezeblock", terminal_width=110, **root.context_settings)):
        pages += [f"## {context.command_path}\n"]
        pages += ["    " + line if line else "" for line in context.get_help().splitlines()] + [""]
    return "\n".join(pages)


def _walk(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name, below in sorted(context.command.commands.items()):
            if not below.hidden:
                yield from _walk(click.Context(below, parent=context, info_name=name))


def _section(title: str, options: Sequence[cfg.Opt]) -> str:
    rows = [f"| `{opt.name}` | {_default(opt)} | {_kind(opt)} | {opt.help or ''} |" for opt in options]
    return "\n".join([f"## {title}\n", "| option | default | allowed | |", "|---|---|---|---|", *rows, ""])


def _without_default(opt: cfg.Opt) -> cfg.Opt:
    opt.default = None
    return opt


def _default(opt: cfg.Opt) -> str:
    if opt.default is None or opt.default == "":
        return ""
    value: Any = ", ".join(opt.default) if isinstance(opt.default, list) else opt.default
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _kind(opt: cfg.Opt) -> str:
    name = {"string": "text", "integer": "whole number", "float": "number", "boolean": "true or false", "list": "list"}
    word = name.get(type(opt.type).__name__.lower(), type(opt.type).__name__.lower())
    if choices := getattr(opt.type, "choices", None):
        return ", ".join(f"`{choice}`" for choice in choices)
    low, high = getattr(opt.type, "min", None), getattr(opt.type, "max", None)
    limits = [*([f"at least {low:g}"] if low is not None else []), *([f"at most {high:g}"] if high is not None else [])]
    return ", ".join([word, *limits])

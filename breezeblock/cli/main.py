"""The commands and their options. What a command does stands in a module of its own, imported when it is asked for."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from breezeblock import errors

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
EX_CONFIG = 78
"""The exit code of sysexits.h for a configuration that cannot be used."""

Decorated = Callable[..., Any]


def state_options(command: Decorated) -> Decorated:
    """The options of every command that works on a state directory."""
    config = click.option(
        "--config",
        "files",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        help="Configuration file; may be given several times, later ones win.  "
        "[default: breezeblock.conf in the state directory or in /etc/breezeblock]",
    )
    state = click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="BREEZEBLOCK_STATE_DIR",
        help="Directory that holds everything that is written.  [default: state_path of the configuration, /var/lib/breezeblock]",
    )
    return state(config(command))


@click.group(context_settings=CONTEXT)
def cli() -> None:
    """Breezeblock: block storage that speaks the OpenStack Block Storage API v3, for any number of workers that may die at any time.

    'breezeblock serve' starts all of it on this machine.
    """


@cli.command()
@state_options
@click.option("--bind", metavar="HOST:PORT", help="Where the API listens; port 0: any free one.  [default: 127.0.0.1:8776]")
def serve(state_dir: Path | None, files: tuple[Path, ...], bind: str | None) -> None:
    """Run the API, a scheduler worker, and a volume worker per backend, and restart what dies.

    Runs in the foreground until Ctrl-C or SIGTERM. Connected exports go on running after it.
    """
    from breezeblock.cli import parts
    from breezeblock.cli import serve as serving

    settings = parts.settings(files, state_dir, bind)
    sys.exit(serving.run(settings, parts.parts(), click.echo))


@cli.command()
@state_options
@click.option("--bind", metavar="HOST:PORT", help="Where the API listens.  [default: 127.0.0.1:8776]")
def api(state_dir: Path | None, files: tuple[Path, ...], bind: str | None) -> None:
    """Run only the API. Any number of them may run, here and on other machines."""
    from breezeblock.cli import parts

    settings = parts.settings(files, state_dir, bind)
    parts.log_as("api", settings)
    sys.exit(parts.parts().api(settings, lambda: None))


@cli.command()
@state_options
@click.option("--role", type=click.Choice(["scheduler", "volume"]), required=True, help="Which jobs it takes.")
@click.option(
    "--backend", "backends", multiple=True, help="Backend that a volume worker serves; may be given several times.  [default: all enabled]"
)
def worker(state_dir: Path | None, files: tuple[Path, ...], role: str, backends: tuple[str, ...]) -> None:
    """Run only one worker. Any number of them may run, here and on other machines."""
    from breezeblock.cli import parts

    settings = parts.settings(files, state_dir, None)
    enabled = tuple(backend.name for backend in settings.backends)
    if role == "scheduler" and backends:
        raise click.BadParameter("a scheduler worker serves no backend", param_hint="--backend")
    if unknown := [name for name in backends if name not in enabled]:
        raise click.BadParameter(f"not enabled: {', '.join(unknown)}; enabled are {', '.join(enabled)}", param_hint="--backend")
    chosen = () if role == "scheduler" else backends or enabled
    parts.log_as(f"{role}:{','.join(chosen)}" if chosen else role, settings)
    sys.exit(parts.parts().worker(settings, role, chosen))


@cli.group()
def db() -> None:
    """Look after the database."""


@db.command()
@state_options
def migrate(state_dir: Path | None, files: tuple[Path, ...]) -> None:
    """Bring the database to the newest schema. 'serve' does it by itself."""
    from breezeblock.cli import parts

    parts.parts().migrate(parts.settings(files, state_dir, None))
    click.echo("The database is up to date.")


@db.command("version")
@state_options
def db_version(state_dir: Path | None, files: tuple[Path, ...]) -> None:
    """Say which revisions the database's schema stands at, and what that is to this program."""
    from breezeblock.cli import parts
    from breezeblock.store import schema

    url = parts.settings(files, state_dir, None).database.connection
    click.echo(f"{', '.join(schema.current(url)) or 'no revision'}: {schema.state(url).value}")


@cli.group()
def exports() -> None:
    """Look after the exports of this machine: what clients have connected."""


@exports.command("list")
@state_options
def list_exports(state_dir: Path | None, files: tuple[Path, ...]) -> None:
    """List the exports of this machine."""
    from breezeblock.cli import exports as command
    from breezeblock.cli import parts

    command.show(parts.settings(files, state_dir, None))


@exports.command("stop")
@state_options
def stop_exports(state_dir: Path | None, files: tuple[Path, ...]) -> None:
    """End all exports of this machine. Their clients lose their disks until 'serve' runs again."""
    from breezeblock.cli import exports as command
    from breezeblock.cli import parts

    sys.exit(command.stop(parts.settings(files, state_dir, None)))


def client_options(command: Decorated) -> Decorated:
    """The options of the commands that talk to the service."""
    return click.option("--endpoint", metavar="URL", help="The API's URL with /v3.  [default: that of 'serve' on this state directory]")(
        command
    )


@cli.command()
@click.argument("volume")
@client_options
@click.option("--read-only", is_flag=True, help="Make a device that cannot be written.")
@state_options
def attach(volume: str, state_dir: Path | None, files: tuple[Path, ...], endpoint: str | None, read_only: bool) -> None:  # noqa: FBT001 -- click
    """Attach VOLUME, a name or an id, to this machine, and print its block device.

    Attaching it again prints the same device. Needs root.
    """
    from breezeblock.cli import attach as command
    from breezeblock.cli import parts

    settings = parts.settings(files, state_dir, None)
    click.echo(command.attach(command.client(settings, endpoint), settings, volume, read_only=read_only))


@cli.command()
@click.argument("volume")
@client_options
@state_options
def detach(volume: str, state_dir: Path | None, files: tuple[Path, ...], endpoint: str | None) -> None:
    """Take VOLUME, a name or an id, away from this machine. Unmount it first. Needs root."""
    from breezeblock.cli import attach as command
    from breezeblock.cli import parts

    settings = parts.settings(files, state_dir, None)
    command.detach(command.client(settings, endpoint), settings, volume)


@cli.command()
@click.option("--without-local", is_flag=True, help="Make no block devices; tell the story over NBD, with qemu-io.")
def tour(without_local: bool) -> None:  # noqa: FBT001 -- click
    """Tell and check the whole story on a throw-away service: snapshots, clones, killed workers, and not a byte lost.

    Takes less than two minutes, and needs nothing but this machine; with root, real block devices are used.
    """
    from breezeblock.cli import tour as story

    sys.exit(story.run(local=not without_local))


@cli.command()
def version() -> None:
    """Print the version of this program, and the versions of the API that it speaks."""
    import importlib.metadata

    from breezeblock.core.versions import HIGH, LOW

    try:
        number = importlib.metadata.version("breezeblock")
    except importlib.metadata.PackageNotFoundError:
        number = "of a source tree that was not installed"
    click.echo(f"breezeblock {number}, Block Storage API {LOW} to {HIGH}")


@cli.command(hidden=True)
@click.argument("page", type=click.Choice(["commands", "configuration"]))
def reference(page: str) -> None:
    """Print a page of docs/reference."""
    from breezeblock.cli import reference as pages

    click.echo(pages.commands(cli) if page == "commands" else pages.configuration(), nl=False)


def main() -> None:
    """The command's entry point."""
    _keep_caches_away()
    try:
        cli()
    except errors.BadConfiguration as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EX_CONFIG)
    except errors.Error as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def _keep_caches_away() -> None:
    """Have stevedore keep no cache in the user's home: nothing is written outside of the state directory.

    It decides when it is imported, so that this must come before.
    """
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = os.devnull
    import stevedore  # noqa: F401

    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before

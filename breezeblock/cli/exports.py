"""``breezeblock exports``: what clients of this machine's volumes have connected, and its end."""

import click

from breezeblock.config import Settings
from breezeblock.exports.manager import Exports
from breezeblock.exports.values import ExportSettings


def manager(settings: Settings) -> Exports:
    """The exports of this host."""
    return Exports(ExportSettings(settings.state_path, settings.host))


def show(settings: Settings) -> None:
    """Print one line per export, for people and for scripts: volume, state, size, services, image."""
    found = manager(settings).list()
    for export in found:
        state = f"running as process {export.pid}" if export.running else "not running"
        click.echo(f"{export.volume_id}  {export.size_bytes / 2**30:g} GiB  {', '.join(export.services)}  {state}  {export.path}")
    if not found:
        click.echo("This machine exports nothing.", err=True)


def stop(settings: Settings) -> int:
    """End all of them; the exit code is 1 when one could not be ended."""
    exports = manager(settings)
    running = [export.volume_id for export in exports.list() if export.running]
    failed = exports.stop_all()
    for volume_id, reason in sorted(failed.items()):
        click.echo(f"The export of volume {volume_id} still runs: {reason}", err=True)
    ended = len(running) - len(failed)
    click.echo(f"{ended} {'export has' if ended == 1 else 'exports have'} been ended.")
    return int(bool(failed))

"""Keeps a volume's image still while it is changed in place: by its daemon, or with no daemon possible."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from breezeblock import errors
from breezeblock.drivers.interface import LiveImages, Token


@contextmanager
def kept_still(live: LiveImages, volume_id: str, token: Token | None) -> Iterator[bool]:
    """Gives True when a daemon of this host has the image open, so that only the daemon may change it.

    Otherwise holds the export lock, so that none can start. ObjectBusy: it is open on another host. Fenced: the exports know a
    higher token of the volume.
    """
    with contextlib.ExitStack() as stack:
        running = live.running(volume_id, token)
        if not running:
            try:
                stack.enter_context(live.offline(volume_id, token))
            except errors.ObjectBusy:
                # A daemon may have started between the two questions.
                running = live.running(volume_id, token)
                if not running:
                    raise
        yield running

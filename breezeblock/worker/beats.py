"""The heartbeat: a thread and a connection of its own, which nothing else in the process can hold up (protocol rule R4)."""

import logging
import threading
from collections.abc import Callable

from breezeblock import errors
from breezeblock.core.leases import Lease

log = logging.getLogger(__name__)


class Beats:
    """Renews a lease until it is told to stop, or the lease is lost."""

    def __init__(self, lease: Lease, every: float, lost: Callable[[errors.LostLease], None]) -> None:
        """``every`` is in seconds; ``lost`` must end the process."""
        self._lease = lease
        self._every = every
        self._lost = lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beats", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; the kernel timer stays armed."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._every
        while not self._stop.wait(pause):
            try:
                self._lease.renew()
                pause = self._every
            except errors.LostLease as lost:
                self._lost(lost)
                return
            except errors.Unavailable as away:
                pause = self._every / 4
                log.warning("the lease was not renewed (%s); it ends in %.1f s, and this process with it", away, self._lease.remaining())

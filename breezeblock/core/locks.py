"""Named locks for drivers, through Tooz: ``file://`` on one machine, etcd, Redis or ZooKeeper for several.

The protocol itself needs no lock: claims, lanes and fence tokens live in the database. These locks are
for drivers whose storage cannot do two things at once. A lock of a lock service may be lost (its
holder was paused, the service failed over), so it never replaces a fence token (protocol rule R1); that it
was lost is said when its block ends.

A :class:`Locks` belongs to the process that made it: make it after a fork, never before.
"""

import contextlib
import hashlib
import logging
import random
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Final

import stevedore.exception
import tenacity
import tooz
from tooz import coordination
from tooz.locking import Lock

from breezeblock.config import CoordinationSettings
from breezeblock.errors import BadConfiguration, LockHeld, LockLost, LocksAway

_LONGEST_NAME: Final = 150
"""Characters of an encoded name; a file's name ends at 255."""
_log = logging.getLogger(__name__)


class Held:
    """The locks that a block holds."""

    def __init__(self, service: str, locks: Mapping[str, Lock]) -> None:
        self._service = service
        self._locks = locks

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they were taken."""
        return tuple(self._locks)

    def verify(self) -> None:
        """Raise LockLost when one of them is not held any more, or that cannot be known; for a long piece of work between two steps."""
        for name, lock in self._locks.items():
            try:
                if lock.is_still_owner():
                    continue
            except tooz.NotImplemented:
                continue
            except tooz.ToozError as error:
                raise LockLost(name=name, reason=f"{self._service} cannot be asked: {error}") from error
            raise LockLost(name=name, reason=f"{self._service} has given it up")


class Locks:
    """The locks of one process at one lock service. Safe for use by many threads."""

    def __init__(self, settings: CoordinationSettings, member: str) -> None:
        """``member`` names this process, as its incarnation. BadConfiguration when Tooz has no driver for the URL.

        It connects when it is first used.
        """
        self._settings = settings
        self._member = member.encode()
        self.service = _without_secrets(settings.backend_url)
        self._driver = self._make()
        self._started = False
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._heart: threading.Thread | None = None
        self._of_thread = threading.local()

    @property
    def distributed(self) -> bool:
        """Whether a lock excludes processes of other hosts."""
        return coordination.Characteristics.DISTRIBUTED_ACROSS_HOSTS in self._driver.CHARACTERISTICS

    @contextlib.contextmanager
    def lock(self, *names: str, timeout: float) -> Iterator[Held]:
        """Hold all of ``names`` for the block; wait for them at most ``timeout`` seconds in all.

        They are taken in one order everywhere, each once, so that two callers never wait for each other. For
        the same reason a thread that holds locks may not ask for more: RuntimeError. Raises LockHeld when
        somebody else keeps one, LocksAway when the service does not answer in time, and at the end of a block that
        succeeded LockLost when a lock had been lost.
        """
        if getattr(self._of_thread, "holds", ()):
            raise RuntimeError(f"this thread holds {self._of_thread.holds} already; ask for all names at once")
        deadline = time.monotonic() + timeout
        taken: dict[str, Lock] = {}
        try:
            for name in sorted(set(names)):
                taken[name] = self._acquire(name, deadline, timeout)
            self._of_thread.holds = tuple(taken)
            held = Held(self.service, taken)
            yield held
            held.verify()
        finally:
            self._of_thread.holds = ()
            for name, lock in reversed(taken.items()):
                self._release(name, lock)

    def close(self) -> None:
        """Give everything back and disconnect."""
        self._closing.set()
        if self._heart is not None:
            self._heart.join(timeout=5)
        with self._mutex, contextlib.suppress(tooz.ToozError):
            if self._started:
                self._started = False
                self._driver.stop()

    def _make(self) -> coordination.CoordinationDriver:
        scheme = urllib.parse.urlsplit(self._settings.backend_url).scheme
        try:
            return coordination.get_coordinator(self._settings.backend_url, self._member)
        except stevedore.exception.NoMatches as error:
            raise BadConfiguration(
                reason=f"backend_url {self.service}: Tooz has no driver for {scheme!r}, or the client library it needs is not installed"
            ) from error
        except (tooz.ToozError, ValueError) as error:
            raise BadConfiguration(reason=f"backend_url {self.service}: {error}") from error

    def _acquire(self, name: str, deadline: float, timeout: float) -> Lock:
        wait = self._settings.initial_reconnect_backoff
        while True:
            try:
                self._connect()
                lock = self._driver.get_lock(encoded(name))
                # As ``blocking``, not as ``timeout``: that is the time to live for Tooz's etcd driver.
                if lock.acquire(blocking=max(0.0, deadline - time.monotonic())):  # type: ignore[arg-type]
                    return lock
                raise LockHeld(name=name, seconds=timeout)
            except tenacity.RetryError:
                raise LockHeld(name=name, seconds=timeout) from None
            except tooz.ToozError as error:
                left = deadline - time.monotonic()
                if left <= 0 or self._closing.wait(min(left, wait * random.uniform(0.5, 1.0))):
                    raise LocksAway(service=self.service, reason=str(error) or type(error).__name__) from error
                wait = min(2 * wait, self._settings.max_reconnect_backoff)

    def _connect(self) -> None:
        with self._mutex:
            if self._started:
                return
            self._driver.start()
            self._started = True
            # A lock that the kernel keeps (file://) needs no heartbeat, whatever else the driver beats for.
            if self.distributed and self._driver.requires_beating:
                self._heart = threading.Thread(target=self._beat, name="locks-heartbeat", daemon=True)
                self._heart.start()

    def _beat(self) -> None:
        wait, failing = self._settings.heartbeat, False
        while not self._closing.wait(wait):
            try:
                self._driver.heartbeat()
            except tooz.ToozError as error:
                wait = min(2 * wait, self._settings.max_reconnect_backoff) if failing else self._settings.initial_reconnect_backoff
                if not failing:
                    _log.warning("the lock service %s does not take heartbeats: %s", self.service, error)
                failing = True
                continue
            if failing:
                _log.warning("the lock service %s takes heartbeats again", self.service)
            wait, failing = self._settings.heartbeat, False

    def _release(self, name: str, lock: Lock) -> None:
        try:
            lock.release()
        except tooz.ToozError as error:
            # The service forgets it at the end of its time to live.
            _log.warning("lock %s was not given back to %s: %s", name, self.service, error)


def encoded(name: str) -> bytes:
    """``name`` as every lock service and file system takes it; long names are hashed."""
    text = "lock-" + urllib.parse.quote(name, safe="@:+,=")
    if len(text) > _LONGEST_NAME:
        text = "sha256-" + hashlib.sha256(name.encode()).hexdigest()
    return text.encode()


def _without_secrets(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()

"""Runs a command of the product so that its processes obey orders to die, or to stop, at an exact point of the code.

    python -m tests.support.deadly FOLDER COMMAND...

The product's fault points are hooked here, from outside. Whoever comes by a point looks into FOLDER for an order
that meets it (see :class:`Order`); renaming the order's file makes one process its finder, which writes down who it is
and where it stands, and sends itself the signal. Nothing of this exists in the product but the named points.
"""

import dataclasses
import fnmatch
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from breezeblock.cli.main import main as command
from breezeblock.core import faults
from breezeblock.store.engine import Store
from tests.support.service import await_

_STEPS: Final = frozenset(["open", "os.remove", "os.truncate", "fcntl.ioctl", "fcntl.flock"])
_PATCHED: Final = ("fsync", "fdatasync", "pwrite", "posix_fallocate")
_OTHERS: Final = frozenset(["beats", "claim", "periodic"])
_NUMB_SECONDS: Final = 60.0
_CALL: Final = "Reached.__getattr__.<locals>.call"
"""The product's frame around every changing driver call: while it is on a thread's stack, the thread is inside of one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """Die at a point."""

    point: str
    """Pattern of a fault point; with ``step``, of a driver call: ``<verb>.<method>``."""
    step: int = 0
    """Not 0: inside of the driver call, before its so-manieth step (a system call that matters, or a tool that now runs)."""
    who: str = "worker"
    """``worker``: a process that claims; ``alone``: a lone process; ``any``."""
    signal: int = int(signal.SIGKILL)
    stays: bool = False
    """Whether it is in force for whoever comes by later, too."""
    hold: bool = False
    """Send no signal: this thread waits until it is released."""


@dataclasses.dataclass(frozen=True, slots=True)
class Struck:
    """An order that was obeyed."""

    pid: int
    point: str
    stack: tuple[str, ...]
    """Names of the functions that the thread was in, the innermost first."""

    @property
    def inside(self) -> bool:
        """Whether the process was inside of a driver call."""
        return _CALL in self.stack


class Orders:
    """The test's side of the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._count = 0

    def give(self, order: Order) -> str:
        """Have it in force; its name."""
        self._count += 1
        name = f"{self._count:04}"
        draft = self.folder / f"{name}.draft"
        draft.write_text(json.dumps(dataclasses.asdict(order)))
        draft.rename(self.folder / f"{name}.order")
        return name

    def struck(self, name: str) -> list[Struck]:
        """Who obeyed it so far."""
        found = (json.loads(path.read_text()) for path in sorted(self.folder.glob(f"{name}.*.struck")))
        return [Struck(each["pid"], each["point"], tuple(each["stack"])) for each in found]

    def release(self, name: str) -> None:
        """Let the thread that obeyed a ``hold`` go on."""
        (self.folder / f"{name}.release").touch()

    def numb(self, pid: int) -> None:
        """The threads of this process that beat, claim and rescue stand still for good, outside of any transaction; they do it now."""
        (self.folder / f"{pid}.numb").touch()
        await_(lambda: all((self.folder / f"{pid}.{name}.stands").exists() for name in _OTHERS), _NUMB_SECONDS / 2)

    def withdraw(self, name: str) -> None:
        """Nobody who comes by from now on obeys it."""
        (self.folder / f"{name}.order").unlink(missing_ok=True)


class _Obedience:
    """The processes' side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._here = threading.local()

    def pass_by(self) -> None:
        """A transaction is about to begin."""
        name = threading.current_thread().name
        if name in _OTHERS and (self._folder / f"{os.getpid()}.numb").exists():
            (self._folder / f"{os.getpid()}.{name}.stands").touch()
            threading.Event().wait(_NUMB_SECONDS)

    def reach(self, point: str) -> None:
        """The hook of the product's fault points."""
        call, _, edge = point.rpartition(".")
        self._here.call, self._here.steps = (call if edge == "before" else None), 0
        self._obey(lambda order: not order.step and fnmatch.fnmatch(point, order.point), point)

    def step(self) -> None:
        """A system call is about to be made."""
        call = getattr(self._here, "call", None)
        if call is None or getattr(self._here, "busy", False):
            return
        self._here.steps += 1
        steps = self._here.steps
        self._obey(lambda order: 0 < order.step <= steps and fnmatch.fnmatch(call, order.point), call, inside=True)

    def _obey(self, meets: Callable[[Order], bool], point: str, *, inside: bool = False) -> None:
        self._here.busy = True
        try:
            for path in sorted(self._folder.glob("*.order")):
                try:
                    order = Order(**json.loads(path.read_text()))
                except FileNotFoundError:
                    continue
                stack = _stack(sys._getframe())
                if meets(order) and _is(order.who) and (not inside or _CALL in stack):
                    self._strike(path, order, point, stack)
        finally:
            self._here.busy = False

    def _strike(self, path: Path, order: Order, point: str, stack: tuple[str, ...]) -> None:
        if not order.stays:
            try:
                path.rename(path.with_suffix(".taken"))
            except FileNotFoundError:
                return
        said = path.with_suffix(f".{os.getpid()}.{threading.get_native_id()}.struck")
        draft = said.with_suffix(".new")
        draft.write_text(json.dumps({"pid": os.getpid(), "point": point, "stack": stack}))
        draft.rename(said)
        if not order.hold:
            os.kill(os.getpid(), order.signal)
            return
        deadline = time.monotonic() + _NUMB_SECONDS
        while not path.with_suffix(".release").exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def _is(who: str) -> bool:
    claims = any(thread.name == "claim" for thread in threading.enumerate())
    return {"worker": claims, "alone": not claims, "any": True}[who]


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    found = []
    while frame is not None:
        found.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return tuple(found)


def _install(obedience: _Obedience) -> None:
    """See every transaction, and count steps: audited events, the ones that are not audited, and the wait for a tool that runs."""

    def audit(event: str, _arguments: object) -> None:
        if event in _STEPS:
            obedience.step()

    def stepping(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            obedience.step()
            return function(*arguments, **named)

        return step

    def passing(function: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*arguments: Any, **named: Any) -> Any:
            obedience.pass_by()
            return function(*arguments, **named)

        return passed

    for name in _PATCHED:
        setattr(os, name, stepping(getattr(os, name)))
    setattr(subprocess.Popen, "communicate", stepping(subprocess.Popen.communicate))  # noqa: B010
    for name in ("run", "read"):
        setattr(Store, name, passing(getattr(Store, name)))
    sys.addaudithook(audit)


def main() -> None:
    """Be the command."""
    obedience = _Obedience(Path(sys.argv[1]))
    sys.argv = ["breezeblock", *sys.argv[2:]]
    _install(obedience)
    with faults.hooked(obedience.reach):
        command()


if __name__ == "__main__":
    main()

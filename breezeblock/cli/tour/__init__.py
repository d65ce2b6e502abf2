"""``breezeblock tour``: the whole story on a throw-away service, with real tools, told in plain sentences and checked.

A tour is a list of chapters, played in order on one :class:`~breezeblock.cli.tour.stage.Stage`. It stands outside of the
service that it starts: it uses the API, the commands, and the system's tools, and reads the database; it never writes there. Whatever
happens it takes away all that it started, and it touches nothing that it did not start.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from breezeblock import errors
from breezeblock.cli.tour import cleaning, life, outage, rescue
from breezeblock.cli.tour.stage import Chapter, Off, Stage
from breezeblock.cli.tour.telling import Narrator

STORY: Final = (
    Chapter("serve", "A throw-away service", life.serve),
    Chapter("create", "A volume", life.create),
    Chapter("attach", "A disk for this machine", life.attach),
    Chapter("fill", "A filesystem and data", life.fill),
    Chapter("snapshot", "A snapshot while data are being written", life.snapshot),
    Chapter("clone", "A volume made from the snapshot", life.clone),
    Chapter("verify-clone", "What the clone holds", life.verify_clone),
    Chapter("extend", "More space, while it is in use", life.extend),
    Chapter("rescue", "A worker is killed in the middle of its work", rescue.rescue),
    Chapter("outage", "Everything is killed while data are being written", outage.outage),
    Chapter("verify", "Every checksum again", outage.verify),
    Chapter("delete", "Everything is deleted", outage.delete),
    Chapter("zero", "Nothing is left", outage.zero),
)
"""The whole story."""

LAUNCH: Final = (sys.executable, "-m", "breezeblock")
INTERRUPTED: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(chapters: Sequence[Chapter] = STORY, launch: Sequence[str] = LAUNCH, *, local: bool = True, console: Console | None = None) -> int:
    """Play ``chapters``; the exit code: 0, 1 when anything was off (one line says what), 130 when interrupted.

    ``launch`` is the command line of the ``breezeblock`` command. Without ``local``, or where this machine cannot make block
    devices, the disks are NBD exports.
    """
    narrator = Narrator(console or Console())
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="breezeblock-tour-"))
    stage = Stage(place, tuple(launch), narrator, wants_local=local)
    left, complaints = "", list[str]()
    with _interruptible():
        try:
            verdict, code = _tell(stage, chapters)
        finally:
            _deaf()
            stage.close()
            left = cleaning.sweep(place)
            complaints = list(stage.service.complaints)
            cleaning.remove(place)
    if left and not code:
        verdict, code = f"the tour could not take away what it made: {left}", 1
    if code == 1:
        narrator.words_of_service(complaints)
    if code:
        narrator.failed(verdict)
    else:
        narrator.ended(f"The tour took {time.monotonic() - began:.0f} seconds, and everything was as it must be.")
    return code


def _tell(stage: Stage, chapters: Sequence[Chapter]) -> tuple[str, int]:
    """Play the chapters until one fails: what is off, and the exit code."""
    try:
        for number, chapter in enumerate(chapters, 1):
            with stage.narrator.chapter(number, chapter.title):
                verdict = _play(stage, chapter)
            if verdict:
                return f"chapter '{chapter.name}': {verdict}", 1
    except KeyboardInterrupt:
        return "interrupted; what the tour had started has been taken away", INTERRUPTED
    return "", 0


def _play(stage: Stage, chapter: Chapter) -> str:
    """What is off, in one line; empty when all is well."""
    try:
        chapter.play(stage)
    except subprocess.CalledProcessError as error:
        words = " ".join(str(error.stderr or error.stdout or "").split()) or "it said nothing"
        return f"{error.cmd[0]} failed with exit code {error.returncode}: {words}"
    except (Off, errors.Error, OSError, subprocess.SubprocessError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _deaf() -> None:
    """Hear no signal any more: cleaning is not interrupted."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the tour as Ctrl-C does, within."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = [signal.signal(number, interrupt) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)

"""How the tour speaks: coloured for a person at a terminal, plain text anywhere else. It decides nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class Narrator:
    """Tells a story in chapters. Every sentence is one line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def chapter(self, number: int, title: str) -> Iterator[None]:
        """The heading before, the time that it took after."""
        self._line(Text(f"\n{number}. {title}", style="bold"))
        began = time.monotonic()
        yield
        self._line(Text(f"   ({time.monotonic() - began:.1f} s)", style="dim"))

    def say(self, sentence: str) -> None:
        """What is being done."""
        self._line(Text(f"   {sentence}"))

    def checked(self, sentence: str) -> None:
        """What was looked at, and found to be so."""
        self._line(Text.assemble("   ", ("checked: ", "green"), sentence))

    def words_of_service(self, lines: Sequence[str]) -> None:
        """What the service itself complained about, for whoever must find out why."""
        if lines:
            self._line(Text("\nThe last complaints in the service's log:", style="dim"))
        for line in lines:
            self._line(Text(f"   {line}", style="dim"))

    def failed(self, verdict: str) -> None:
        """The one line that says what is off."""
        self._line(Text.assemble("\n", ("THE TOUR FAILED", "bold red"), f" {verdict}"))

    def ended(self, sentence: str) -> None:
        """The good end."""
        self._line(Text(f"\n{sentence}", style="bold green"))

    def _line(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

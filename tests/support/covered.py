"""What the stock clients have been made to do, and who has confirmed it: kept while the tests run, so that nothing is merely claimed."""

import types
from collections.abc import Mapping
from typing import Any


class Confirmations:
    """Every command that ran, and the changes that nobody but their own author has looked at yet.

    A client family confirms what another family did; ``disk`` (images, daemons, NBD) confirms everything. The ``openstack``
    command is built on openstacksdk, so these two never confirm each other.
    """

    def __init__(self, table: Mapping[str, bool]) -> None:
        """``table`` says of every known command whether it changes state."""
        self.table = table
        self.ran: set[str] = set()
        self.unconfirmed: list[tuple[str, str]] = []

    def record(self, family: str, command: str) -> None:
        """``command`` has been run through a client of ``family``. AssertionError when the table does not have it."""
        assert command in self.table, f"{command!r} is not in the table of commands"
        self.ran.add(command)
        if self.table[command]:
            self.unconfirmed.append((family, command))
        else:
            self.looked(family)

    def looked(self, family: str) -> None:
        """``family`` has shown the state of things."""
        self.unconfirmed = [(author, command) for author, command in self.unconfirmed if author == family]

    def take(self) -> list[str]:
        """The changes that nobody has confirmed; forgotten with this call."""
        left, self.unconfirmed = self.unconfirmed, []
        return [command for _, command in left]


class Recorded:
    """A stock client's object as it is, with every call of it written down."""

    def __init__(self, target: Any, family: str, prefix: str, log: Confirmations) -> None:
        self._target, self._family, self._prefix, self._log = target, family, prefix, log

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            answer = found(*arguments, **named)
            if isinstance(answer, types.GeneratorType):
                answer = list(answer)
            self._log.record(self._family, self._prefix + name)
            return answer

        return call

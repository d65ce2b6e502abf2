"""A client that writes a numbered sequence and knows what was acknowledged, and the check of a frozen copy against it."""

import threading
from types import TracebackType
from typing import Self

from tests.support.nbd import Broken, Client, reconnected

BLOCK = 4096
SLOTS = 64


def block(number: int) -> bytes:
    """What write ``number`` puts into slot ``number % SLOTS``."""
    return number.to_bytes(8, "big") * (BLOCK // 8)


def check_prefix(content: bytes) -> int:
    """Check that ``content`` holds exactly the writes 1 to M in their order, for some M, and give M.

    Each write is made after the one before was acknowledged: a later one without an earlier one is no
    state that a power failure could have left.
    """
    values = []
    for slot in range(SLOTS):
        piece = content[slot * BLOCK : (slot + 1) * BLOCK]
        number = int.from_bytes(piece[:8], "big")
        assert piece == (block(number) if number else bytes(BLOCK)), f"slot {slot} is torn"
        values.append(number)
    last = max(values)
    for slot, number in enumerate(values):
        expected = max((n for n in range(max(1, last - SLOTS + 1), last + 1) if n % SLOTS == slot), default=0)
        assert number == expected, f"write {last} is there, but slot {slot} holds write {number}, not {expected}"
    return last


class Writer:
    """Writes and reads back in a thread until the context ends, over any number of connections; an I/O error is the test's."""

    def __init__(self, address: str | tuple[str, int], export: str) -> None:
        self._client = Client(address, export)
        self._address = address
        self._export = export
        self._over = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = 0
        self.breaks = 0
        self.sizes = [self._client.size]
        self.problem: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(30)
        self._client.close()
        if problem is None and self.problem is not None:
            raise self.problem

    def more(self, writes: int = 100, seconds: float = 20.0) -> int:
        """Wait until that many more writes were acknowledged; gives their count so far."""
        with self._progress:
            target = self.acknowledged + writes
            assert self._progress.wait_for(lambda: self.acknowledged >= target or self.problem, seconds), "the client stands still"
            if self.problem is not None:
                raise self.problem
            return self.acknowledged

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._once(self.acknowledged + 1)
                with self._progress:
                    self.acknowledged += 1
                    self._progress.notify_all()
        except BaseException as problem:  # noqa: BLE001 (told to the test's own thread)
            with self._progress:
                self.problem = problem
                self._progress.notify_all()

    def _once(self, number: int) -> None:
        """One verified write; a break is answered by a new connection, as QEMU's reconnect-delay does, and the write is repeated."""
        offset = number % SLOTS * BLOCK
        while True:
            try:
                self._client.write(offset, block(number))
                assert self._client.read(offset, BLOCK) == block(number)
                return
            except Broken:
                self.breaks += 1
                self._client = reconnected(self._address, self._export)
                self.sizes.append(self._client.size)

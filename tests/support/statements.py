"""Counts the statements that a store executes: what a verb costs, held against a recorded figure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from breezeblock.store.engine import Store

Statement = tuple[str, Any]


@contextmanager
def counted(store: Store) -> Iterator[list[Statement]]:
    """Every statement executed meanwhile, with its parameters."""
    found: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        found.append((statement, parameters))

    sa.event.listen(store._engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(store._engine, "before_cursor_execute", note)

"""How a project's quotas look on the wire."""

from collections.abc import Iterable
from typing import Any

from breezeblock.resources.quotas import rules


def limits(standing: Iterable[rules.Standing]) -> dict[str, int]:
    """The limit of each counter, by the name that users know."""
    return {one.name: one.limit for one in standing}


def usage(standing: Iterable[rules.Standing]) -> dict[str, Any]:
    """Limit and use of each counter. Nothing is ever reserved: a charge is in use with its transaction, or never was."""
    return {one.name: {"limit": one.limit, "in_use": one.in_use, "reserved": 0} for one in standing}

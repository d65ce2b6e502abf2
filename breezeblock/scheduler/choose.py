"""Choose pools for a volume: which can take it, the best first, and why each of the others cannot.

Pure. The choice promises nothing: the caller reserves in the order given
(:func:`breezeblock.scheduler.capacity.reserve`) and goes on to the next when somebody else was faster.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from breezeblock.scheduler import filters, weighers
from breezeblock.scheduler.model import Pool, Refusal, Wanted


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome: candidates in order, and the refusals of every other pool by its id."""

    candidates: Sequence[Pool]
    refused: Mapping[str, tuple[Refusal, ...]]

    @property
    def worth_waiting(self) -> bool:
        """Nothing can take it now, but some pool could if its workers were alive."""
        return not self.candidates and any(all(refusal.passing for refusal in reasons) for reasons in self.refused.values())

    def explanation(self) -> str:
        """For operators: each refused pool with every reason. Names backends, so it is not for tenants."""
        if not self.refused:
            return "" if self.candidates else "no backend has reported a pool"
        return " | ".join(f"{pool}: {'; '.join(reason.text for reason in reasons)}" for pool, reasons in sorted(self.refused.items()))


def choose(pools: Iterable[Pool], wanted: Wanted) -> Choice:
    """Filter and order ``pools`` for ``wanted``."""
    possible: list[Pool] = []
    refused: dict[str, tuple[Refusal, ...]] = {}
    for pool in pools:
        reasons = filters.refusals(pool, wanted)
        if reasons:
            refused[pool.id] = reasons
        else:
            possible.append(pool)
    return Choice(weighers.ordered(possible, wanted), refused)

"""Why a pool cannot take a volume: one pure question each. An answer is a sentence, or None when nothing is in the way."""

from collections.abc import Callable, Sequence

from breezeblock.scheduler import capacity, specs
from breezeblock.scheduler.model import Pool, Refusal, Wanted

Filter = Callable[[Pool, Wanted], str | None]


def source(pool: Pool, wanted: Wanted) -> str | None:
    """A clone, and a volume from a snapshot, stay in the pool of their source."""
    if wanted.pool_id is None or pool.id == wanted.pool_id:
        return None
    return f"what it is made from lies in {wanted.pool_id}"


def excluded(pool: Pool, wanted: Wanted) -> str | None:
    """Tried already."""
    return wanted.excluded.get(pool.id)


def disabled(pool: Pool, _: Wanted) -> str | None:
    """An operator took its service out of use."""
    if pool.enabled:
        return None
    return f"the service of {pool.host} is disabled" + (f": {pool.disabled_reason}" if pool.disabled_reason else "")


def down(pool: Pool, _: Wanted) -> str | None:
    """Nobody would do the work."""
    return None if pool.up else f"no live worker serves {pool.queue}"


def zone(pool: Pool, wanted: Wanted) -> str | None:
    """The request, or the type's RESKEY:availability_zones, names others."""
    if not wanted.zones or pool.zone in wanted.zones:
        return None
    return f"its availability zone is {pool.zone}, not {' or '.join(wanted.zones)}"


def hint(pool: Pool, wanted: Wanted) -> str | None:
    """The scheduler hints same_host and different_host."""
    if wanted.same_host_as and pool.host not in wanted.same_host_as:
        return f"the request wants the backend of given volumes: {', '.join(sorted(wanted.same_host_as))}"
    if pool.host in wanted.other_host_than:
        return "the request wants another backend than that of given volumes"
    return None


def capability(pool: Pool, wanted: Wanted) -> str | None:
    """The volume type's extra specs."""
    return "; ".join(specs.unmet(pool.facts(), wanted.extra_specs)) or None


def space(pool: Pool, wanted: Wanted) -> str | None:
    """What it may still promise."""
    if capacity.fits(pool, wanted.size_gib):
        return None
    room = max(capacity.room_gib(pool), 0.0)
    return (
        f"{room:.1f} GiB of room is less than {wanted.size_gib} GiB (total {pool.total_gib:.1f}, free {pool.free_gib:.1f}, "
        f"provisioned {pool.provisioned_gib}, reserved {pool.reserved_percentage} %, "
        f"over-subscription {pool.max_over_subscription_ratio if pool.thin else 1.0})"
    )


FILTERS: Sequence[tuple[str, Filter]] = (
    ("source", source),
    ("excluded", excluded),
    ("disabled", disabled),
    ("down", down),
    ("zone", zone),
    ("hint", hint),
    ("capability", capability),
    ("capacity", space),
)


def refusals(pool: Pool, wanted: Wanted) -> tuple[Refusal, ...]:
    """Everything that is in the way of this pool; empty when it can take the volume."""
    return tuple(Refusal(code, text) for code, ask in FILTERS if (text := ask(pool, wanted)) is not None)

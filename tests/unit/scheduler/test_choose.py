"""The choice of a pool: who is refused and why, and who comes first."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from breezeblock.scheduler import capacity
from breezeblock.scheduler.choose import choose
from breezeblock.scheduler.model import Pool, Wanted

BASE = Pool(
    id="h1@b1#p",
    queue="volume:h1@b1",
    backend="b1",
    name="p",
    total_gib=100.0,
    free_gib=100.0,
    allocated_gib=0.0,
    provisioned_gib=0,
    thin=True,
    reserved_percentage=0,
    max_over_subscription_ratio=2.0,
    capabilities={"storage_protocol": "nbd", "volume_backend_name": "gold", "multiattach": True},
    zone="z1",
)


def pool(**changes: Any) -> Pool:
    return replace(BASE, **changes)


def codes(candidate: Pool, wanted: Wanted) -> list[str]:
    return [refusal.code for reasons in choose([candidate], wanted).refused.values() for refusal in reasons]


@pytest.mark.parametrize(
    ("candidate", "wanted", "expected"),
    [
        (pool(), Wanted(1), []),
        (pool(), Wanted(1, zones=("z1", "z2")), []),
        (pool(), Wanted(1, zones=("z2",)), ["zone"]),
        (pool(enabled=False), Wanted(1), ["disabled"]),
        (pool(up=False), Wanted(1), ["down"]),
        (pool(), Wanted(1, pool_id="h1@b1#p"), []),
        (pool(), Wanted(1, pool_id="h2@b1#p"), ["source"]),
        (pool(), Wanted(1, excluded={"h1@b1#p": "it failed"}), ["excluded"]),
        (pool(), Wanted(1, same_host_as=frozenset({"h1@b1"})), []),
        (pool(), Wanted(1, same_host_as=frozenset({"h2@b1"})), ["hint"]),
        (pool(), Wanted(1, other_host_than=frozenset({"h1@b1"})), ["hint"]),
        (pool(), Wanted(1, other_host_than=frozenset({"h2@b1"})), []),
        (pool(), Wanted(1, {"volume_backend_name": "gold", "multiattach": "<is> True"}), []),
        (pool(), Wanted(1, {"volume_backend_name": "silver"}), ["capability"]),
        (pool(), Wanted(1, {"capabilities:storage_protocol": "<or> iscsi <or> nbd", "free_capacity_gb": ">= 50"}), []),
        (pool(), Wanted(1, {"provisioning:type": "thick", "acme:tier": "7"}), []),
        (pool(), Wanted(1, {"thin_provisioning_support": "<is> False"}), ["capability"]),
        (pool(), Wanted(201), ["capacity"]),
        (pool(up=False, enabled=False), Wanted(201, zones=("z2",)), ["disabled", "down", "zone", "capacity"]),
    ],
)
def test_who_is_refused(candidate: Pool, wanted: Wanted, expected: list[str]) -> None:
    assert codes(candidate, wanted) == expected


@pytest.mark.parametrize(
    ("candidate", "largest"),
    [
        (pool(), 200),
        (pool(thin=False), 100),
        (pool(provisioned_gib=150), 50),
        (pool(reserved_percentage=10), 180),
        (pool(reserved_percentage=10, provisioned_gib=150), 40),
        (pool(free_gib=20.0), 40),
        (pool(free_gib=20.0, reserved_percentage=10), 20),
        (pool(thin=False, free_gib=20.5), 20),
        (pool(provisioned_gib=300), 0),
        (pool(total_gib=0.0, free_gib=0.0), 0),
        (pool(reserved_percentage=100, thin=False), 0),
    ],
)
def test_the_largest_volume_that_fits(candidate: Pool, largest: int) -> None:
    assert not capacity.fits(candidate, largest + 1)
    assert largest == 0 or capacity.fits(candidate, largest)
    assert int(max(capacity.room_gib(candidate), 0)) == largest


def test_the_most_room_comes_first() -> None:
    pools = [pool(id=f"h{n}@b1#p", provisioned_gib=promised) for n, promised in enumerate((150, 10, 80))]
    assert [found.id for found in choose(pools, Wanted(1)).candidates] == ["h1@b1#p", "h2@b1#p", "h0@b1#p"]


def test_equal_pools_share_many_requests_and_a_repeat_chooses_alike() -> None:
    pools = {f"h{n}@b1#p": pool(id=f"h{n}@b1#p", total_gib=10000.0, free_gib=10000.0) for n in range(4)}
    first = Counter(choose(pools.values(), Wanted(1, seed=f"v{n}")).candidates[0].id for n in range(400))
    assert set(first) == set(pools)
    assert min(first.values()) > 60
    again = [choose(pools.values(), Wanted(1, seed="v7")).candidates for _ in range(2)]
    assert again[0] == again[1]


def test_many_volumes_spread_by_what_was_promised() -> None:
    pools = {f"h{n}@b1#p": pool(id=f"h{n}@b1#p", total_gib=500.0, free_gib=500.0) for n in range(3)}
    for n in range(300):
        best = choose(pools.values(), Wanted(5, seed=str(n))).candidates[0]
        pools[best.id] = replace(best, provisioned_gib=best.provisioned_gib + 5)
    promised = [found.provisioned_gib for found in pools.values()]
    assert sum(promised) == 1500
    assert max(promised) - min(promised) <= 100


def test_refusals_are_explained_to_operators() -> None:
    pools = [pool(enabled=False, disabled_reason="new disks"), pool(id="h2@b1#p", total_gib=1.0, free_gib=1.0)]
    choice = choose(pools, Wanted(3))
    assert not choice.candidates
    assert not choice.worth_waiting
    said = choice.explanation()
    assert "new disks" in said
    assert "2.0 GiB of room is less than 3 GiB" in said
    assert choose([], Wanted(1)).explanation() == "no backend has reported a pool"


def test_waiting_is_worth_it_only_for_workers() -> None:
    assert choose([pool(up=False), pool(id="h2@b1#p", enabled=False)], Wanted(1)).worth_waiting
    assert not choose([pool(up=False, enabled=False)], Wanted(1)).worth_waiting
    assert not choose([pool(up=False), pool(id="h2@b1#p")], Wanted(1)).worth_waiting


def test_a_driver_cannot_report_its_way_around_the_counters() -> None:
    lying = pool(capabilities={"provisioned_capacity_gb": -5, "vendor_name": "Acme", "volume_backend_name": "x"})
    facts = lying.facts()
    assert (facts["provisioned_capacity_gb"], facts["vendor_name"], facts["volume_backend_name"]) == (0, "Acme", "x")
    assert pool(capabilities={}).facts()["volume_backend_name"] == "b1"

"""Two conflicting requests on two real connections, interleaved at every statement and in both orders: never do both win.

Each checks what the other changes, and under READ COMMITTED both checks can pass: that is write skew. It cannot happen,
because guards stand on the row that they guard (docs/explanation/guards.md).
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from breezeblock import errors
from breezeblock.core.transitions import Again, Refused
from breezeblock.resources.attachments import create as attach
from breezeblock.resources.snapshots import create as snapshot_create
from breezeblock.resources.snapshots import delete as snapshot_delete
from breezeblock.resources.volumes import create, delete, extend, force_delete, reset_status, revert
from breezeblock.store.engine import Tx
from tests.checkers.everything import Watch
from tests.support.interleave import Participant, Step, interleaved
from tests.support.world import World

Names = tuple[str, str]
Work = Callable[[Tx], Any]
Ask = Callable[[World, str, str], Work]
"""Given a volume and its snapshot."""

ASKS: Mapping[str, Ask] = {
    "delete": lambda world, volume, _: world.request(delete, volume_id=volume),
    "cascade": lambda world, volume, _: world.request(delete, params={"cascade": True}, volume_id=volume),
    "force delete": lambda world, volume, _: world.request(force_delete, {}, volume_id=volume),
    "snapshot": lambda world, volume, _: world.request(snapshot_create, {"volume_id": volume}),
    "delete snapshot": lambda world, _, snapshot: world.request(snapshot_delete, snapshot_id=snapshot),
    "clone": lambda world, volume, _: world.request(create, {"size": 4, "source_volid": volume}),
    "create from snapshot": lambda world, _, snapshot: world.request(create, {"size": 4, "snapshot_id": snapshot}),
    "attach": lambda world, volume, _: world.request(attach, {"volume_uuid": volume}),
    "extend": lambda world, volume, _: world.request(extend, {"new_size": 5}, volume_id=volume),
    "revert": lambda world, volume, snapshot: world.request(revert, {"snapshot_id": snapshot}, volume_id=volume),
    "reset": lambda world, volume, _: world.request(reset_status, {"status": "error"}, volume_id=volume),
}
CLASSIC = (("snapshot", "delete"), ("clone", "delete"), ("attach", "delete"), ("extend", "extend"), ("attach", "attach"))
MORE = (
    ("extend", "delete"), ("extend", "attach"), ("delete snapshot", "create from snapshot"), ("cascade", "create from snapshot"),
    ("revert", "delete snapshot"), ("revert", "snapshot"), ("cascade", "snapshot"),
)  # fmt: skip
"""Never both."""
OVERRIDE = (("reset", "extend"), ("reset", "snapshot"), ("force delete", "clone"), ("force delete", "extend"), ("reset", "attach"))
"""An operator's word goes with or against anything, but leaves no job without its status, and no status without its job."""


@pytest.fixture
def world(database: str, tmp_path: Path) -> Iterator[World]:
    world = World(database, tmp_path, migrated=True)
    yield world
    world.store.dispose()


def subject(world: World, *, with_snapshot: bool) -> tuple[str, str]:
    """A new available volume, and its snapshot."""
    volume, snapshot = str(uuid.uuid4()), str(uuid.uuid4())
    world.ask(create, {"size": 2}, ids={"volume": volume})
    world.settle()
    if with_snapshot:
        world.ask(snapshot_create, {"volume_id": volume}, ids={"snapshot": snapshot})
        world.settle()
    return volume, snapshot


def won(participant: Participant) -> bool:
    """Whether its transaction committed."""
    try:
        participant.finish()
    except (Refused, Again, errors.Conflict, errors.Invalid, errors.NotFound):
        return False
    return True


def contest(url: str, first: Work, second: Work, after: int) -> tuple[bool, bool, bool]:
    """The first goes ``after`` statements far, then the second as far as it can, then both to their ends.

    Whether each of them won, and whether the first had statements left.
    """
    with interleaved(url) as (one, other):
        one.start(first)
        went = all(one.step() is Step.DONE for _ in range(after))
        other.start(second)
        while other.step() is Step.DONE:
            pass
        return won(one), won(other), went


def play(world: World, watch: Watch, names: Names, database: str) -> Iterator[tuple[int, bool, bool]]:
    """Every split of the first's statements; after each contest the invariants hold, and all work can be done."""
    after, went = 0, True
    while went:
        volume, snapshot = subject(world, with_snapshot=needs(names))
        first, second = (ASKS[name](world, volume, snapshot) for name in names)
        one, other, went = contest(database, first, second, after)
        watch.assert_sound(after=f"{names} after {after} statements")
        yield after, one, other
        world.settle()
        watch.assert_sound(after=f"{names} after {after} statements, and all work done")
        after += 1


def needs(names: Names) -> bool:
    """Whether one of them is about a snapshot that exists already."""
    return bool({"delete snapshot", "create from snapshot", "revert", "cascade"} & set(names))


def both_orders(pairs: Sequence[Names]) -> list[Names]:
    return sorted({order for pair in pairs for order in (pair, pair[::-1])})


def on(kinds: Sequence[str], pairs: Sequence[Names]) -> list[Any]:
    """A parameter for each kind of database and order of a pair."""
    return [pytest.param(kind, names, id=f"{names[0]} then {names[1]}-{kind}") for kind in kinds for names in both_orders(pairs)]


@pytest.mark.parametrize(("database", "names"), [*on(["postgresql", "mysql"], CLASSIC), *on(["postgresql"], MORE)], indirect=["database"])
def test_never_do_both_win(world: World, database: str, names: Names) -> None:
    watch = Watch(world.store, world.registry, world.driver)
    outcomes = {(one, other) for _, one, other in play(world, watch, names, database)}
    assert (True, True) not in outcomes
    assert outcomes & {(True, False), (False, True)}


@pytest.mark.parametrize(("database", "names"), on(["postgresql"], OVERRIDE), indirect=["database"])
def test_an_override_leaves_no_job_without_its_status(world: World, database: str, names: Names) -> None:
    watch = Watch(world.store, world.registry, world.driver)
    outcomes = {(one, other) for _, one, other in play(world, watch, names, database)}
    assert any(one or other for one, other in outcomes)


@pytest.mark.parametrize(("database", "names"), on(["sqlite"], [*CLASSIC, *MORE]), indirect=["database"])
def test_on_sqlite_one_waits_at_the_gate_for_the_other(world: World, database: str, names: Names) -> None:
    volume, snapshot = subject(world, with_snapshot=needs(names))
    first, second = (ASKS[name](world, volume, snapshot) for name in names)
    with interleaved(database) as (one, other):
        one.start(first)
        one.step()
        assert other.start(second) is Step.WAITS
        assert (won(one), won(other)) == (True, False)

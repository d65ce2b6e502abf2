"""The compare-and-swap on every database: api rules of conditional updates, each with the case that breaks a careless one."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.conditional import Case, Not, condition, conditional_update, holds
from breezeblock.store.engine import Store, Tx
from tests.contract.store.conftest import Insert, volume_row

HAS_SNAPSHOT = sa.exists().where(snapshots.c.volume_id == volumes.c.id)
DELETE_GUARD = {"attach_status": Not("attached"), "migration_status": None, "status": ("available", "error", "error_restoring")}


def update(store: Store, volume_id: str, values: Mapping[str, Any], expected: Mapping[str, Any] | None = None, **options: Any) -> bool:
    return store.run("update", lambda tx: conditional_update(tx, volumes, volume_id, values, expected or {}, **options))


def columns(store: Store, volume_id: str, *names: str) -> tuple[Any, ...]:
    query = sa.select(*(volumes.c[name] for name in names)).where(volumes.c.id == volume_id)
    return tuple(store.read("columns", lambda tx: tx.execute(query).one()))


class TestDeleteGuard:
    """The first of the programme's examples: a volume may be deleted when nothing needs it."""

    def deletes(self, store: Store, volume_id: str) -> bool:
        done = update(store, volume_id, {"status": "deleting"}, DELETE_GUARD, filters=[~HAS_SNAPSHOT])
        assert columns(store, volume_id, "status")[0] == "deleting" if done else True
        return done

    @pytest.mark.parametrize("attach_status", ["detached", "error_detaching"])
    def test_it_wins_when_all_holds(self, store: Store, new_volume: Insert, attach_status: str) -> None:
        other = new_volume()
        assert self.deletes(store, new_volume(attach_status=attach_status))
        assert columns(store, other, "status") == ("available",)

    @pytest.mark.parametrize("change", [{"attach_status": "attached"}, {"migration_status": "migrating"}, {"status": "in-use"}])
    def test_each_condition_alone_stops_it(self, store: Store, new_volume: Insert, change: dict[str, Any]) -> None:
        volume_id = new_volume(**change)
        assert not self.deletes(store, volume_id)
        assert columns(store, volume_id, *change) == tuple(change.values())

    def test_a_snapshot_stops_it(self, store: Store, new_volume: Insert, new_snapshot: Insert) -> None:
        with_snapshot, without = new_volume(), new_volume()
        new_snapshot(with_snapshot)
        assert not self.deletes(store, with_snapshot)
        assert self.deletes(store, without)

    def test_it_wins_once(self, store: Store, new_volume: Insert) -> None:
        volume_id = new_volume()
        assert [self.deletes(store, volume_id) for _ in range(2)] == [True, False]

    def test_no_row_is_no_success(self, store: Store) -> None:
        assert not update(store, str(uuid.uuid4()), {"status": "deleting"})


class TestCaseAndExpression:
    """The second example: the status depends on the snapshots, the size on the size."""

    VALUES: Mapping[str, Any] = {
        "status": Case([(HAS_SNAPSHOT, "has-snapshot")], else_="no-snapshot"),
        "size_gib": volumes.c.size_gib + 1,
    }

    def test_without_a_snapshot(self, store: Store, new_volume: Insert) -> None:
        volume_id = new_volume(size_gib=7)
        assert update(store, volume_id, self.VALUES, {"status": "available"})
        assert columns(store, volume_id, "status", "size_gib") == ("no-snapshot", 8)

    def test_with_a_snapshot(self, store: Store, new_volume: Insert, new_snapshot: Insert) -> None:
        volume_id = new_volume(size_gib=7)
        new_snapshot(volume_id)
        assert update(store, volume_id, self.VALUES, {"status": "available"})
        assert columns(store, volume_id, "status", "size_gib") == ("has-snapshot", 8)


@pytest.mark.parametrize("simultaneous", [True, False])
def test_values_see_the_row_as_it_was(store: Store, new_volume: Insert, simultaneous: bool) -> None:
    """MariaDB evaluates SET from left to right; our order makes that safe even where the session does not."""
    volume_id = new_volume(size_gib=3, pins=10)
    values = {
        "status": "extending",
        "size_gib": 5,
        "name": Case([(volumes.c.status == "available", "was available")], else_="was not"),
        "previous_status": volumes.c.status,
        "live_jobs": volumes.c.pins + volumes.c.size_gib,
        "pins": volumes.c.size_gib * 2,
    }

    def work(tx: Tx) -> bool:
        if tx.dialect == "mysql" and not simultaneous:
            tx.execute(sa.text("SET SESSION sql_mode='STRICT_TRANS_TABLES'"))
        return conditional_update(tx, volumes, volume_id, values)

    assert store.run("update", work)
    store.dispose()
    names = ("status", "size_gib", "name", "previous_status", "live_jobs", "pins")
    assert columns(store, volume_id, *names) == ("extending", 5, "was available", "available", 13, 6)


def test_two_columns_are_swapped(store: Store, new_volume: Insert) -> None:
    """No order can do this: on MariaDB it needs SIMULTANEOUS_ASSIGNMENT, which our sessions have."""
    volume_id = new_volume(pins=1, live_jobs=2)
    assert update(store, volume_id, {"pins": volumes.c.live_jobs, "live_jobs": volumes.c.pins})
    assert columns(store, volume_id, "pins", "live_jobs") == (2, 1)


def test_an_update_that_changes_nothing_is_a_success(store: Store, new_volume: Insert) -> None:
    """MariaDB counts rows that changed unless it is asked for those that matched."""
    volume_id = new_volume(status="available")
    assert update(store, volume_id, {"status": "available"}, {"status": "available"})


def test_a_filter_may_look_at_the_same_table(store: Store, new_volume: Insert) -> None:
    """The source of a clone may go when no volume that is being created names it."""
    other = volumes.alias("other")
    clones = sa.exists().where(other.c.source_volid == volumes.c.id, other.c.status == "creating")
    source, free = new_volume(), new_volume()
    clone = new_volume(source_volid=source, status="creating")
    assert not update(store, source, {"status": "deleting"}, filters=[~clones])
    assert update(store, free, {"status": "deleting"}, filters=[~clones])
    assert update(store, clone, {"status": "available"})
    assert update(store, source, {"status": "deleting"}, filters=[~clones])


def test_a_value_may_come_from_a_subquery_on_the_same_table(store: Store, new_volume: Insert) -> None:
    other = volumes.alias("other")
    largest = sa.select(sa.func.max(other.c.size_gib)).scalar_subquery()
    new_volume(size_gib=40)
    volume_id = new_volume(size_gib=1)
    assert update(store, volume_id, {"size_gib": largest + 2})
    assert columns(store, volume_id, "size_gib") == (42,)


def test_the_row_is_found_by_other_columns(store: Store, new_volume: Insert) -> None:
    volume_id, other = new_volume(project_id="a", name="x"), new_volume(project_id="b", name="x")
    where = {"project_id": "a", "name": "x"}
    assert store.run("update", lambda tx: conditional_update(tx, volumes, where, {"status": "error"}, {"status": "available"}))
    assert [columns(store, one, "status")[0] for one in (volume_id, other)] == ["error", "available"]


def test_expected_may_be_another_column(store: Store, new_volume: Insert) -> None:
    equal, unequal = new_volume(pins=2, live_jobs=2), new_volume(pins=1, live_jobs=2)
    nulls = new_volume(snapshot_id=None, group_id=None)
    half = new_volume(snapshot_id="s", group_id=None)
    for auto_none in (True, False):
        assert update(store, equal, {"status": "x"}, {"pins": volumes.c.live_jobs}, auto_none=auto_none)
        assert not update(store, unequal, {"status": "x"}, {"pins": volumes.c.live_jobs}, auto_none=auto_none)
        assert update(store, nulls, {"status": "x"}, {"snapshot_id": volumes.c.group_id}, auto_none=auto_none) is auto_none
        assert update(store, half, {"status": "x"}, {"snapshot_id": Not(volumes.c.group_id)}, auto_none=auto_none) is auto_none


NAMES = st.one_of(st.none(), st.sampled_from(["", "a", "A", "a ", "ä", "\U0001f9f1", "b'", "%s", "\\"]))
SIZES = st.one_of(st.none(), st.integers(-3, 3))


def expectations(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    collections = st.one_of(st.lists(values, max_size=3), st.tuples(values), st.frozensets(values, max_size=3))
    plain = st.one_of(values, collections)
    return st.one_of(plain, st.builds(Not, plain))


CASES = st.one_of(
    st.tuples(st.just("name"), NAMES, expectations(NAMES), st.booleans()),
    st.tuples(st.just("replication_status"), NAMES, expectations(NAMES), st.booleans()),
    st.tuples(st.just("readonly"), st.sampled_from([None, True, False]), expectations(st.sampled_from([None, True, False])), st.booleans()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CASES, min_size=1, max_size=25))
def test_python_and_sql_agree(store: Store, cases: list[tuple[str, Any, Any, bool]]) -> None:
    """The explanation of a refused change asks in Python what the UPDATE asked in SQL: the two must be one question."""
    rows = [volume_row(**{"status": "s", name: actual}) for name, actual, _, _ in cases]
    queries = [
        sa.select(sa.func.count()).where(volumes.c.id == row["id"], condition(volumes.c[name], expected, auto_none=auto_none))
        for row, (name, _, expected, auto_none) in zip(rows, cases, strict=True)
    ]
    store.run("insert", lambda tx: [tx.execute(sa.insert(volumes), row) for row in rows])
    answers = store.read("ask", lambda tx: [tx.execute(query).scalar_one() == 1 for query in queries])
    assert answers == [holds(expected, actual, auto_none=auto_none) for _, actual, expected, auto_none in cases]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CASES)
def test_the_update_agrees_too(store: Store, case: tuple[str, Any, Any, bool]) -> None:
    name, actual, expected, auto_none = case
    row = volume_row(**{name: actual})
    store.run("insert", lambda tx: tx.execute(sa.insert(volumes), row))
    done = update(store, row["id"], {"status": "done"}, {name: expected}, auto_none=auto_none)
    assert done is holds(expected, actual, auto_none=auto_none)
    assert columns(store, row["id"], "status")[0] == ("done" if done else "available")

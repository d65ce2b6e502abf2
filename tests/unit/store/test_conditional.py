"""The compare-and-swap without a database: the Python twin, the order of assignments, what is refused."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from breezeblock.resources.snapshots.table import snapshots
from breezeblock.resources.volumes.table import volumes
from breezeblock.store.conditional import Case, Not, conditional_update, holds
from breezeblock.store.transaction import Tx


class Recorder(Tx):
    """Keeps the statement instead of executing it."""

    def __init__(self) -> None:
        self.dialect = "mysql"
        self.assigned: list[str] = []

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        assignments = str(statement.compile(dialect=mysql.dialect())).partition(" SET ")[2].rpartition(" WHERE ")[0]
        self.assigned = re.findall(r"(?:^|, )(\w+)=", assignments)
        return type("Result", (), {"rowcount": 1})


def assigned(values: Mapping[str, Any], **options: Any) -> list[str]:
    recorder = Recorder()
    conditional_update(recorder, volumes, "id", values, **options)
    return recorder.assigned


@pytest.mark.parametrize(
    ("expected", "actual", "answer"),
    [
        ("a", "a", True),
        ("a", None, False),
        (None, None, True),
        (None, "a", False),
        (("a", "b"), "b", True),
        (("a", None), None, True),
        (("a", "b"), None, False),
        ((), "a", False),
        ((), None, False),
        (Not("a"), "a", False),
        (Not("a"), "b", True),
        (Not("a"), None, True),
        (Not(None), None, False),
        (Not(None), "a", True),
        (Not(("a", "b")), None, True),
        (Not(("a", None)), None, False),
        (Not(("a", None)), "a", False),
        (Not(("a", None)), "b", True),
        (Not(()), None, True),
    ],
)
def test_holds_as_python_reads_none(expected: Any, actual: Any, answer: bool) -> None:
    assert holds(expected, actual) is answer


@pytest.mark.parametrize("expected", [Not("a"), Not(("a", "b")), Not(())])
def test_without_auto_none_null_satisfies_no_not(expected: Any) -> None:
    assert not holds(expected, None, auto_none=False)


def test_values_that_read_columns_come_first_and_plain_ones_last() -> None:
    case = Case([(volumes.c.size_gib > 1, "big")], else_="small")
    values = {"status": "extending", "name": case, "previous_status": volumes.c.status, "size_gib": 2}
    assert assigned(values) == ["previous_status", "name", "status", "size_gib"]


def test_a_column_is_assigned_after_every_value_that_reads_it() -> None:
    chain = {"pins": volumes.c.live_jobs + 1, "live_jobs": volumes.c.snapshots + 1, "snapshots": volumes.c.attachments}
    assert assigned(dict(reversed(chain.items()))) == ["pins", "live_jobs", "snapshots"]
    case_reads = {"size_gib": volumes.c.size_gib + 1, "status": Case([(volumes.c.size_gib > 5, "big")], else_="small")}
    assert assigned(case_reads) == ["status", "size_gib"]


def test_a_subquery_reads_too() -> None:
    count = sa.select(sa.func.count()).where(snapshots.c.volume_id == volumes.c.id, snapshots.c.size_gib == volumes.c.size_gib)
    values = {"size_gib": volumes.c.pins + 1, "snapshots": count.scalar_subquery()}
    assert assigned(values) == ["snapshots", "size_gib"]


def test_the_callers_order_wins() -> None:
    values = {"status": "extending", "previous_status": volumes.c.status}
    assert assigned(values, order=["status"]) == ["status", "previous_status"]


@pytest.mark.parametrize(
    "options",
    [
        {"filters": [snapshots.c.volume_id == volumes.c.id]},
        {"expected": {"size_gib": snapshots.c.size_gib}},
        {"expected": {"size_gib": Not(snapshots.c.size_gib)}},
        {"filters": [volumes.alias("other").c.id == volumes.c.source_volid]},
    ],
)
def test_a_second_table_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="outside of a subquery"):
        assigned({"status": "x"}, **options)


def test_a_second_table_in_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="snapshots outside of a subquery"):
        assigned({"size_gib": snapshots.c.size_gib})


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(KeyError):
        assigned({"sise": 1})

"""The queue under a load of ten thousand jobs, on every database: fairness, and plans that do not read them all (protocol rule R10)."""

import re
from functools import partial
from typing import Any

import sqlalchemy as sa

from breezeblock.core import claims
from breezeblock.core.claims import Wanted
from breezeblock.store.engine import Store, Tx
from tests.support.statements import counted
from tests.unit.core import toy

CROWD = 10_000
KINDS = tuple(toy.REGISTRY.kinds().items())
WANTED = Wanted((toy.QUEUE,), KINDS, {"sync": 2, "normal": 2, "long": 2})


def crowded(store: Store) -> None:
    """Ten thousand jobs of one tenant wait, and as many have ended."""
    toy.flood(store, CROWD, project="a", state="done")
    toy.flood(store, CROWD, project="a")
    if store.dialect == "mysql":
        store.run("analyze", lambda tx: tx.execute(sa.text("ANALYZE TABLE jobs")).all())
    else:
        store.read("analyze", lambda tx: tx.execute(sa.text("ANALYZE")))


def test_ten_thousand_jobs_of_one_tenant_do_not_hold_up_another(store: Store) -> None:
    me = toy.worker(store)
    first = toy.ask(store, "look", toy.gadget(store), project="a")
    crowded(store)
    quiet = toy.ask(store, "look", toy.gadget(store), project="z")
    waited_for = toy.ask(store, "look", toy.gadget(store), project="a", job_class="sync")
    claimed = {job.id for job in toy.claim(store, me)}
    assert claimed == {first, quiet, waited_for}


def explained(store: Store, statement: str, parameters: Any) -> str:
    """The plan by which the database would execute it."""
    word = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN", "mysql": "EXPLAIN"}[store.dialect]

    def ask(tx: Tx) -> str:
        rows = tx._frame.connection.exec_driver_sql(f"{word} {statement}", parameters).all()
        return "\n".join(" ".join(str(value) for value in row) for row in rows)

    return store.run("explain", ask)


WHOLE = {
    "sqlite": re.compile(r"SCAN jobs(?! USING (COVERING )?INDEX)|USE TEMP B-TREE FOR (GROUP|DISTINCT)"),
    "postgresql": re.compile(r"Seq Scan on jobs"),
    "mysql": re.compile(r"\bjobs ALL\b"),
}
"""What a plan says that reads the whole table."""


def test_no_statement_of_a_claim_reads_the_whole_table(store: Store) -> None:
    me = toy.worker(store)
    toy.ask(store, "look", toy.gadget(store), project="a")
    crowded(store)
    with counted(store) as statements:
        assert toy.claim(store, me)
    about_jobs = [(text, parameters) for text, parameters in statements if re.search(r"\bjobs\b", text)]
    assert len(about_jobs) >= 4
    for text, parameters in about_jobs:
        plan = explained(store, text, parameters)
        assert not WHOLE[store.dialect].search(plan), f"{text}\n{plan}"


def test_the_longest_waiting_job_is_found_through_the_index_of_queued_ones(store: Store) -> None:
    """And not through that of all jobs, however many have ended before it."""
    crowded(store)
    with counted(store) as statements:
        found = store.run("pick", partial(claims.candidates, wanted=WANTED, turn=(toy.QUEUE, "a"), job_class="normal", limit=1))
    assert len(found) == 1
    [(text, parameters)] = statements
    plan = explained(store, text, parameters)
    assert "ix_jobs_queued" in plan, plan

"""Invariant: who works on what is the same story everywhere: jobs, job_lanes, and each resource's status and counters.

Independent of the code that keeps them: it reads all rows and compares. To be asked between transactions, at any time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from breezeblock.core.resource import Registry
from breezeblock.store.engine import Store, Tx
from breezeblock.store.tables.protocol import job_lanes, jobs

Row = Mapping[str, Any]
UNFINISHED = ("queued", "claimed")


def problems(store: Store, registry: Registry) -> list[str]:
    """Every disagreement, one sentence each."""

    def look(tx: Tx) -> list[str]:
        known = {row["id"]: row for row in tx.rows(sa.select(jobs))}
        lanes = tx.rows(sa.select(job_lanes))
        rows = {
            (name, row["id"]): row for name, resource in registry.resources.items() if "running_job" in resource.table.c
            for row in tx.rows(sa.select(resource.table))
        }  # fmt: skip
        return [
            *_lanes(known, lanes, rows),
            *_counters(lanes, rows),
            *_running(known, lanes, rows),
            *_statuses(registry, known, lanes, rows),
        ]

    return store.read("checkers.lanes", look)


def holds_lanes(job: Row) -> bool:
    """Unfinished, or cancelled and not yet acknowledged by its holder."""
    return job["state"] in UNFINISHED or (job["state"] == "cancelled" and job["owner"] is not None)


def _lanes(known: Mapping[str, Row], lanes: Iterable[Row], rows: Mapping[tuple[str, str], Row]) -> Iterable[str]:
    entered = defaultdict(list)
    for lane in lanes:
        entered[lane["job_id"]].append(lane)
        job, row = known.get(lane["job_id"]), rows.get((lane["resource_type"], lane["resource_id"]))
        what = f"the lane of job {lane['job_id']} on {lane['resource_type']} {lane['resource_id']}"
        if job is None or not holds_lanes(job):
            yield f"{what} outlived the job, which is {'gone' if job is None else job['state']}"
        if row is None:
            yield f"{what} is of a row that does not exist"
        elif lane["generation"] > row["generation"]:
            yield f"{what} has generation {lane['generation']}, above the row's {row['generation']}"
    for job in known.values():
        if holds_lanes(job) and not any(lane["resource_id"] == job["resource_id"] for lane in entered[job["id"]]):
            yield f"job {job['id']} {job['kind']} is {job['state']} without a lane on its own resource"
    for place, count in Counter((lane["resource_id"], lane["generation"]) for lane in lanes).items():
        if count > 1:
            yield f"{count} lanes of {place[0]} share generation {place[1]}"


def _counters(lanes: Iterable[Row], rows: Mapping[tuple[str, str], Row]) -> Iterable[str]:
    counted = Counter((lane["resource_type"], lane["resource_id"], bool(lane["shared"])) for lane in lanes)
    for (name, row_id), row in rows.items():
        for column, shared in (("live_jobs", False), ("pins", True)):
            if row[column] != counted[name, row_id, shared]:
                yield f"{name} {row_id} has {column} = {row[column]}, but {counted[name, row_id, shared]} such lanes"


def _running(known: Mapping[str, Row], lanes: Iterable[Row], rows: Mapping[tuple[str, str], Row]) -> Iterable[str]:
    held = {(lane["job_id"], lane["resource_id"]) for lane in lanes if not lane["shared"]}
    for (name, row_id), row in rows.items():
        runner = row["running_job"]
        if runner is None:
            continue
        job = known.get(runner)
        if job is None or not holds_lanes(job):
            yield f"{name} {row_id} is run by job {runner}, which is {'gone' if job is None else job['state']}"
        elif (runner, row_id) not in held:
            yield f"{name} {row_id} is run by job {runner}, which has no lane on it"
        elif job["state"] == "queued" and job["epoch"] == 0:
            yield f"{name} {row_id} is run by job {runner}, which nobody ever claimed"
    claimed = {job["id"] for job in known.values() if job["state"] == "claimed"}
    for lane in lanes:
        place = (lane["resource_type"], lane["resource_id"])
        if lane["job_id"] in claimed and not lane["shared"] and place in rows and rows[place]["running_job"] != lane["job_id"]:
            yield f"job {lane['job_id']} is claimed, but {place[0]} {place[1]} is run by {rows[place]['running_job']}"


def _statuses(registry: Registry, known: Mapping[str, Row], lanes: Iterable[Row], rows: Mapping[tuple[str, str], Row]) -> Iterable[str]:
    """A transitional status has exactly one unfinished job, and each job that began a transition still has its status."""
    vias = defaultdict(set)
    for verb in registry.verbs.values():
        vias[verb.transition.resource].add(verb.transition.via)
    movers: Counter[tuple[str, str]] = Counter()
    for job in known.values():
        via = registry.verbs[job["kind"]].transition.via if job["kind"] in registry.verbs else None
        if job["state"] not in UNFINISHED or via is None:
            continue
        place = (job["resource_type"], job["resource_id"])
        movers[place] += 1
        status = rows[place]["status"] if place in rows else "gone"
        if status != via:
            yield f"job {job['id']} {job['kind']} is {job['state']}, but its {place[0]} {place[1]} is {status}, not {via}"
    beside = {
        (lane["resource_type"], lane["resource_id"]) for lane in lanes
        if not lane["shared"] and lane["job_id"] in known and known[lane["job_id"]]["resource_id"] != lane["resource_id"]
        and known[lane["job_id"]]["state"] in UNFINISHED
    }  # fmt: skip
    for place, row in rows.items():
        if row["status"] in vias[place[0]] and movers[place] != 1 and not (movers[place] == 0 and place in beside):
            yield f"{place[0]} {place[1]} is {row['status']}, with {movers[place]} unfinished jobs that lead out of it"

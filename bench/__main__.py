"""``python -m bench``: measure this service on SQLite, PostgreSQL and MariaDB, print a table beside Cinder's figures, write JSON."""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.client import parser
from bench.creates import burst, sequence
from bench.memory import memory
from bench.quota import quota
from bench.reads import reads
from bench.seed import seed
from bench.service import Running, service
from tests.support import servers
from tests.support.databases import administer

KINDS = ("sqlite", "postgresql", "mysql")
RESULTS = Path(__file__).parent / "results"
Row = tuple[str, str, Callable[[dict[str, Any]], str]]


def _read(name: str, clients: int) -> Callable[[dict[str, Any]], str]:
    def show(found: dict[str, Any]) -> str:
        one = found["reads"][name][f"c{clients}"]
        return f"{one['req_per_s']:.0f}/s, p50 {one['p50_ms']:.1f} ms"

    return show


ROWS: Sequence[Row] = (
    ("GET detail, 1000 items, 1 client", "1.3/s, p50 750 ms", _read("detail_1000", 1)),
    ("GET detail, 1000 items, 8 clients", "3.0/s, p50 2355 ms", _read("detail_1000", 8)),
    ("GET detail, 50 items, 1 client", "20.5/s, p50 51 ms", _read("detail_50", 1)),
    ("GET detail, 50 items, 8 clients", "53.4/s, p50 138 ms", _read("detail_50", 8)),
    ("GET one volume, 1 client", "63.5/s, p50 16.6 ms", _read("show", 1)),
    ("GET one volume, 8 clients", "166/s, p50 44.6 ms", _read("show", 8)),
    (
        "POST volume, 8 clients",
        "7.7 accepted/s, p50 920 ms",
        lambda found: f"{found['burst']['accepted_per_s']} accepted/s, p50 {found['burst']['post_p50_ms']} ms",
    ),
    ("500 creates at once, all available after", "107 s", lambda found: f"{found['burst']['all_available_s']} s"),
    ("500 deletes at once, all gone after", "24.7 s", lambda found: f"{found['burst']['deleted']['all_gone_s']} s"),
    (
        "create to available, one by one",
        "p50 285 ms, p99 569 ms",
        lambda found: f"p50 {found['sequence']['to_available_p50_ms']} ms, p99 {found['sequence']['to_available_p99_ms']} ms",
    ),
    ("memory of all own processes, idle (PSS)", "936 MiB", lambda found: f"{found['memory_idle']['pss_mib']:.0f} MiB"),
    ("the same after the benches", "1573 MiB", lambda found: f"{found['memory_after']['pss_mib']:.0f} MiB"),
    ("start to first answer / first volume", "6.1 s / 6.6 s", lambda found: f"{found['first_answer_s']} s / {found['first_volume_s']} s"),
    (
        "quota drift after 200 creates and 150 deletes",
        "none seen",
        lambda found: f"{found['quota']['drift_volumes']} volumes, {found['quota']['drift_gigabytes']} GiB",
    ),
)
"""Each line of the table: what, Cinder 29's figure by the same kind of generator on the same kind of machine, ours."""


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of that kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/bench.sqlite"
        return
    with servers.own_server(kind) as server:
        administer(server, "CREATE DATABASE bench")
        yield server.url("bench")


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything, on one database."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with database(kind, folder) as url, service(url, folder / "state", servers.free_port()) as running:
            return _measured(running, options)


def _measured(running: Running, given: argparse.Namespace) -> dict[str, Any]:
    options = parser("").parse_args(["--base", running.base, "--mv", given.mv])
    time.sleep(1)
    found: dict[str, Any] = {
        "first_answer_s": running.first_answer_s,
        "first_volume_s": running.first_volume_s,
        "memory_idle": memory(running.process.pid),
        "sequence": sequence(options, given.n_seq),
        "burst": burst(options, given.n),
        "quota": quota(options),
        "seed": seed(options, given.count),
    }
    found["reads"] = reads(options, given.seconds)
    found["memory_after"] = memory(running.process.pid)
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = ["| what | Cinder 29 | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    lines += [f"| {what} | {cinder} | " + " | ".join(show(found) for found in results.values()) + " |" for what, cinder, show in ROWS]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--databases", default=",".join(KINDS))
    arguments.add_argument("--count", type=int, default=1000, help="volumes in the lists")
    arguments.add_argument("--n", type=int, default=500, help="volumes of the burst")
    arguments.add_argument("--n-seq", type=int, default=100, help="volumes one after the other")
    arguments.add_argument("--seconds", type=int, default=5, help="of each read")
    arguments.add_argument("--mv", default="3.71")
    given = arguments.parse_args()
    results = {}
    owner = servers.begin_run()
    try:
        for kind in given.databases.split(","):
            print(f"measuring on {kind} ...", flush=True)
            results[kind] = measure(kind, given)
    finally:
        if owner:
            servers.end_run()
    RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "kernel": platform.release()}
    (RESULTS / f"{stamp}.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1))
    print(table(results))
    print(f"written: bench/results/{stamp}.json")


if __name__ == "__main__":
    main()

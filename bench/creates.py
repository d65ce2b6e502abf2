"""Creates and deletes: ``--mode seq`` one after the other until available, ``--mode burst`` all at once, then all deleted."""

import argparse
import json
import time
from collections import Counter
from typing import Any

from bench.client import Client, milliseconds, parallel, parser, percentile


def sequence(options: argparse.Namespace, count: int, poll: float = 0.002) -> dict[str, Any]:
    """``count`` volumes, each from POST to available; milliseconds."""
    client, tag = Client(options), f"seq-{int(time.time()):x}-"
    whole, posts, bad = [], [], Counter[str]()
    for number in range(count):
        started = time.perf_counter()
        status, body, spent = client.create(f"{tag}{number}")
        posts.append(spent)
        if status != 202:
            bad[str(status)] += 1
            continue
        end = _until(client, body["volume"]["id"], poll)
        whole.append(time.perf_counter() - started)
        if end != "available":
            bad[end] += 1
    return {
        "count": count,
        "to_available_p50_ms": milliseconds(percentile(whole, 50)),
        "to_available_p99_ms": milliseconds(percentile(whole, 99)),
        "post_p50_ms": milliseconds(percentile(posts, 50)),
        "post_p99_ms": milliseconds(percentile(posts, 99)),
        "bad": dict(bad),
        "deleted": _delete_all(options, tag, 8),
    }


def _until(client: Client, volume_id: str, poll: float) -> str:
    while True:
        status, body, _ = client.request("GET", f"/volumes/{volume_id}")
        if status != 200 or body["volume"]["status"] != "creating":
            return body["volume"]["status"] if status == 200 else str(status)
        time.sleep(poll)


def burst(options: argparse.Namespace, count: int, clients: int = 8) -> dict[str, Any]:
    """``count`` POSTs by ``clients`` at once: accepted per second, and seconds until all are available; then the same for deletes."""
    tag = f"burst-{int(time.time()):x}-"
    started = time.perf_counter()
    results, spent = parallel(options, clients, range(count), lambda client, number: client.create(f"{tag}{number}"))
    statuses = Counter(status for status, _, _ in results)
    latencies = [seconds for _, _, seconds in results]
    client = Client(options)
    _wait_empty(client, "creating")
    return {
        "count": count,
        "accepted_per_s": round(statuses[202] / spent, 1),
        "post_p50_ms": milliseconds(percentile(latencies, 50)),
        "post_p99_ms": milliseconds(percentile(latencies, 99)),
        "statuses": {str(status): number for status, number in statuses.items()},
        "all_available_s": round(time.perf_counter() - started, 2),
        "counts": client.by_status(tag),
        "deleted": _delete_all(options, tag, clients),
    }


def _wait_empty(client: Client, status: str, timeout: float = 900) -> None:
    end = time.perf_counter() + timeout
    while client.request("GET", f"/volumes?status={status}&limit=1")[1]["volumes"]:
        if time.perf_counter() > end:
            raise SystemExit(f"volumes are still {status} after {timeout:g} s")
        time.sleep(0.02)


def _delete_all(options: argparse.Namespace, tag: str, clients: int) -> dict[str, Any]:
    client = Client(options)
    ids = [volume["id"] for volume in client.volumes(tag)]
    started = time.perf_counter()
    results, spent = parallel(options, clients, ids, lambda each, volume_id: each.request("DELETE", f"/volumes/{volume_id}"))
    _wait_empty(client, "deleting")
    return {
        "count": len(ids),
        "accepted_per_s": round(sum(status == 202 for status, _, _ in results) / spent, 1) if ids else 0.0,
        "all_gone_s": round(time.perf_counter() - started, 2),
        "left": client.by_status(tag),
    }


if __name__ == "__main__":
    arguments = parser(__doc__ or "")
    arguments.add_argument("--mode", choices=["seq", "burst"], default="burst")
    arguments.add_argument("--n", type=int, default=500)
    arguments.add_argument("--conc", type=int, default=8)
    given = arguments.parse_args()
    print(json.dumps(sequence(given, given.n) if given.mode == "seq" else burst(given, given.n, given.conc), indent=1))

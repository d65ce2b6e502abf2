"""Concurrent creates, each followed by the delete of another volume; then usage against rows: ``python -m bench.quota``."""

import argparse
import json
import random
import threading
import time
from collections import Counter
from typing import Any

from bench.client import Client, parallel, parser


def quota(options: argparse.Namespace, count: int = 200, clients: int = 16) -> dict[str, Any]:
    """The drift between the quota's counters and the sums of the rows, in volumes and GiB; both must be 0."""
    client, tag = Client(options), f"quota-{int(time.time()):x}-"
    pool: list[str] = []
    lock, deleted = threading.Lock(), Counter[int]()
    dice = random.Random(1)

    def mix(each: Client, number: int) -> int:
        status, body, _ = each.create(f"{tag}{number}", size=dice.choice([1, 2, 3]))
        with lock:
            if status == 202:
                pool.append(body["volume"]["id"])
            victim = pool.pop(dice.randrange(len(pool))) if pool and number % 4 else None
        if victim:
            result = _delete(each, victim)
            with lock:
                deleted[result] += 1
        return status

    created, spent = parallel(options, clients, range(count), mix)
    client.wait_while(tag, ["creating", "deleting"], 120)
    project = options.base.rsplit("/", 1)[1]
    usage = client.request("GET", f"/os-quota-sets/{project}?usage=True")[1]["quota_set"]
    rows = client.volumes()
    return {
        "creates": dict(Counter(map(str, created))),
        "deletes": {str(status): number for status, number in deleted.items()},
        "seconds": round(spent, 2),
        "drift_volumes": usage["volumes"]["in_use"] - len(rows),
        "drift_gigabytes": usage["gigabytes"]["in_use"] - sum(row["size"] for row in rows),
        "reserved": [usage["volumes"]["reserved"], usage["gigabytes"]["reserved"]],
    }


def _delete(client: Client, volume_id: str) -> int:
    status = 400
    for _ in range(200):
        status = client.request("DELETE", f"/volumes/{volume_id}")[0]
        if status != 400:
            break
        time.sleep(0.05)
    return status


if __name__ == "__main__":
    arguments = parser(__doc__ or "")
    arguments.add_argument("--n", type=int, default=200)
    arguments.add_argument("--conc", type=int, default=16)
    given = arguments.parse_args()
    print(json.dumps(quota(given, given.n, given.conc), indent=1))

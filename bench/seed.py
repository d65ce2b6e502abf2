"""Make sure that so many volumes named seed-* are available: ``python -m bench.seed --count 1000``."""

import argparse
from typing import Any

from bench.client import Client, parallel, parser


def seed(options: argparse.Namespace, count: int) -> dict[str, Any]:
    """Create what is missing and wait; what there is then."""
    client = Client(options)
    have = len(client.volumes("seed-"))
    work = lambda each, number: each.create(f"seed-{number:05}", metadata={"k": "v", "n": str(number)})[0]  # noqa: E731
    statuses, spent = parallel(options, 8, range(have, count), work)
    _, counts = client.wait_while("seed-", ["creating"])
    return {"seeded": len(statuses), "seconds": round(spent, 2), "refused": sum(status != 202 for status in statuses), "counts": counts}


if __name__ == "__main__":
    arguments = parser(__doc__ or "")
    arguments.add_argument("--count", type=int, default=1000)
    given = arguments.parse_args()
    print(seed(given, given.count))

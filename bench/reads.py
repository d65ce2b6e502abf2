"""Lists and shows under wrk, at one and at eight clients: ``python -m bench.reads``."""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.client import Client, parser

REPORT = """
done = function(summary, latency, requests)
  io.write(string.format("RESULT %.1f %.1f %.1f %.1f %d %d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""
NAMES = ("req_per_s", "p50_ms", "p99_ms", "max_ms", "non_2xx", "socket_errors")


def measure(options: argparse.Namespace, path: str, clients: int, seconds: int) -> dict[str, float]:
    """One path under wrk: requests per second, latencies in milliseconds, errors."""
    client = Client(options)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "report.lua")
        script.write_text(REPORT, encoding="ascii")
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
        for name, value in client.headers.items():
            command += ["-H", f"{name}: {value}"]
        said = subprocess.run([*command, client.base + path], capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (.*)", said)
    if found is None:
        raise SystemExit(f"wrk reported nothing: {said}")
    return dict(zip(NAMES, map(float, found.group(1).split()), strict=True))


def reads(options: argparse.Namespace, seconds: int, concurrency: tuple[int, ...] = (1, 8)) -> dict[str, Any]:
    """All reads, each with the number of items and bytes of its answer."""
    client = Client(options)
    volume_id = client.request("GET", "/volumes?limit=1")[1]["volumes"][0]["id"]
    paths = {"detail_1000": "/volumes/detail?limit=1000", "detail_50": "/volumes/detail?limit=50", "show": f"/volumes/{volume_id}"}
    result: dict[str, Any] = {}
    for name, path in paths.items():
        _, body, _ = client.request("GET", path)
        result[name] = {"items": len(body.get("volumes", [1])), "bytes": len(json.dumps(body))}
        for clients in concurrency:
            result[name][f"c{clients}"] = measure(options, path, clients, seconds)
    return result


if __name__ == "__main__":
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--conc", default="1,8")
    given = arguments.parse_args()
    print(json.dumps(reads(given, given.seconds, tuple(map(int, given.conc.split(",")))), indent=1))

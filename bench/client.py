"""A small HTTP client and the arithmetic that every generator shares; the standard library alone."""

import argparse
import http.client
import json
import os
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
J = TypeVar("J")


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every generator takes; BS_BASE and BS_HEADER stand for the first two."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--base", default=os.environ.get("BS_BASE"), help="http://HOST:PORT/v3/PROJECT")
    given = os.environ.get("BS_HEADER")
    found.add_argument("--header", action="append", default=[given] if given else [], help="'Name: value', repeatable")
    found.add_argument("--mv", default="3.71", help="microversion")
    return found


class Client:
    """One connection, kept open. A GET that finds it closed is sent again; nothing else is ever sent twice."""

    def __init__(self, options: argparse.Namespace) -> None:
        url = urllib.parse.urlsplit(options.base)
        self.base = options.base
        self._host, self._port, self._prefix = url.hostname or "", url.port or 80, url.path.rstrip("/")
        self.headers = {"Accept": "application/json", "Content-Type": "application/json", "OpenStack-API-Version": f"volume {options.mv}"}
        for header in options.header:
            name, _, value = header.partition(":")
            self.headers[name.strip()] = value.strip()
        self._connection: http.client.HTTPConnection | None = None

    def request(self, method: str, path: str, body: Any = None, timeout: float = 120) -> tuple[int, Any, float]:
        """Status (0: no connection), parsed body, seconds."""
        started = time.perf_counter()
        data = None if body is None else json.dumps(body)
        while True:
            fresh = self._connection is None
            connection = self._connection = self._connection or http.client.HTTPConnection(self._host, self._port, timeout=timeout)
            try:
                connection.request(method, self._prefix + path, body=data, headers=self.headers)
                response = connection.getresponse()
                raw = response.read()
            except (OSError, http.client.HTTPException) as problem:
                connection.close()
                self._connection = None
                if fresh or method != "GET":
                    return 0, {"error": repr(problem)}, time.perf_counter() - started
                continue
            if response.will_close:
                connection.close()
                self._connection = None
            return response.status, _parsed(raw), time.perf_counter() - started

    def create(self, name: str, size: int = 1, **fields: Any) -> tuple[int, Any, float]:
        """POST a volume."""
        return self.request("POST", "/volumes", {"volume": {"size": size, "name": name, **fields}})

    def volumes(self, prefix: str = "") -> list[Any]:
        """All volumes whose name starts with ``prefix``, page by page."""
        found: list[Any] = []
        marker = ""
        while True:
            status, body, _ = self.request("GET", f"/volumes/detail?limit=500{marker}")
            if status != 200:
                raise SystemExit(f"the list of volumes failed: {status} {body}")
            found += body["volumes"]
            if len(body["volumes"]) < 500:
                return [volume for volume in found if (volume["name"] or "").startswith(prefix)]
            marker = f"&marker={body['volumes'][-1]['id']}"

    def by_status(self, prefix: str = "") -> dict[str, int]:
        """How many volumes of that prefix are in each status."""
        return dict(Counter(volume["status"] for volume in self.volumes(prefix)))

    def wait_while(self, prefix: str, statuses: Sequence[str], timeout: float = 600, every: float = 0.1) -> tuple[float, dict[str, int]]:
        """Seconds until no volume of that prefix is in one of ``statuses`` (or the timeout), and what there is then."""
        started = time.perf_counter()
        while True:
            counts = self.by_status(prefix)
            spent = time.perf_counter() - started
            if spent > timeout or not any(counts.get(status) for status in statuses):
                return spent, counts
            time.sleep(every)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def percentile(values: Iterable[float], per_cent: float) -> float:
    """The value that ``per_cent`` of them do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, round(per_cent / 100 * len(ordered) + 0.5) - 1))]


def milliseconds(seconds: float) -> float:
    """Rounded to a tenth."""
    return round(seconds * 1000, 1)


def parallel(options: argparse.Namespace, threads: int, jobs: Iterable[J], work: Callable[[Client, J], T]) -> tuple[list[T], float]:
    """``work(client, job)`` over all jobs by that many threads, each with a connection of its own; the results and the seconds."""
    waiting, lock, results = iter(jobs), threading.Lock(), []

    def run() -> None:
        client = Client(options)
        while True:
            with lock:
                job = next(waiting, None)
            if job is None:
                return
            result = work(client, job)
            with lock:
                results.append(result)

    started = time.perf_counter()
    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return results, time.perf_counter() - started

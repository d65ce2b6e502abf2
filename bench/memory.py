"""Memory of process trees in MiB, RSS and PSS: ``python -m bench.memory name=PID ...``."""

import sys
from collections import defaultdict
from pathlib import Path


def descendants(root: int) -> list[int]:
    """``root`` and every process below it."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                children[int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])].append(int(folder.name))
            except OSError:
                continue
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children[pid]
    return found


def memory(root: int) -> dict[str, float]:
    """Processes, RSS and PSS of a tree, in MiB. PSS shares out what processes have in common."""
    totals = {"Rss:": 0, "Pss:": 0}
    pids = descendants(root)
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, *rest = line.split()
            if name in totals:
                totals[name] += int(rest[0])
    return {"processes": len(pids), "rss_mib": round(totals["Rss:"] / 1024, 1), "pss_mib": round(totals["Pss:"] / 1024, 1)}


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        name, _, pid = argument.partition("=")
        print(name, memory(int(pid)))

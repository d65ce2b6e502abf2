"""``serve`` with parts of its own, for what the real parts cannot be made to do: a child in a crash loop, a given-away daemon.

    python toy_serve.py BEHAVIOUR --state-dir DIR --bind HOST:PORT

The volume worker of behaviour ``daemon`` starts a program in a session of its own and gives it away, as the
exports do, and writes its pid to DIR/daemon; that of ``crash`` fails; that of ``deaf`` does not react to SIGTERM.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from breezeblock.cli import api_server, serve
from breezeblock.cli.parts import settings
from breezeblock.cli.supervisor import Announce
from breezeblock.config import Settings
from breezeblock.errors import DriverError


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers everything."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"toy"]


def _api(found: Settings, announce: Announce) -> int:
    return api_server.serve(found, lambda _: application, announce)


def _worker(behaviour: str, found: Settings, role: str) -> int:
    if role == "volume" and behaviour == "crash":
        raise DriverError(reason="the disk is on fire")
    if role == "volume" and behaviour == "daemon":
        script = f"echo $$ > {found.state_path}/daemon.new; mv {found.state_path}/daemon.new {found.state_path}/daemon; exec sleep 300"
        subprocess.run(["setsid", "--fork", "sh", "-c", script], check=True, stdout=subprocess.DEVNULL)
    if role == "volume" and behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(found.state_path, "deaf").touch()
        while True:
            time.sleep(60)
    signal.sigwait({signal.SIGTERM})
    return 0


def _blocked(behaviour: str, found: Settings, role: str) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    return _worker(behaviour, found, role)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour")
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--bind")
    words = parser.parse_args()
    parts = serve.Parts(
        migrate=lambda _: None,
        load=lambda _: None,
        api=_api,
        worker=lambda found, role, _: _blocked(words.behaviour, found, role),
        exports=lambda _: int(words.behaviour == "daemon"),
    )
    found = settings((), words.state_dir, words.bind)
    sys.exit(serve.run(found, parts, lambda text: print(text, flush=True)))


if __name__ == "__main__":
    main()

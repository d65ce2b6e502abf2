"""The unmodified stock clients, pointed at a service: the two commands as processes, the two libraries in this process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openstack
from cinderclient import client as cinderclient
from cinderclient.contrib.noauth import CinderNoAuthPlugin
from keystoneauth1 import session

from tests.support.covered import Confirmations, Recorded

BIN = Path(sys.executable).parent
NEWEST = "3.71"
SHOWING = {"list", "show", "create", "summary"}
"""Last words of commands that print what they found or made."""
_MARK = "==done=="


class Openstack:
    """python-openstackclient's ``openstack``: its interactive shell for most commands, since each start costs more than a second."""

    def __init__(self, url: str, project: str, folder: Path, log: Confirmations) -> None:
        self._log = log
        self._environment = _environment(folder) | {
            "OS_AUTH_TYPE": "none",
            "OS_ENDPOINT": f"{url}/{project}",
            "OS_VOLUME_API_VERSION": NEWEST,
            "PYTHONUNBUFFERED": "1",
        }
        self._said = folder / "openstack.stderr"
        self._heard = 0
        self._shell: subprocess.Popen[str] | None = None

    def __call__(self, command: str, arguments: str = "") -> Any:
        """Run ``openstack COMMAND ARGUMENTS`` in the shell; what it shows, decoded, or None. AssertionError when it complains."""
        answer, complaint = self.tried(command, arguments)
        assert complaint == "", f"openstack {command} {arguments}: {complaint}"
        self._log.record("openstack", f"openstack {command}")
        return json.loads(answer) if answer else None

    def tried(self, command: str, arguments: str = "") -> tuple[str, str]:
        """The same for one that may fail: its standard output and error."""
        shell = self._shell or self._start()
        assert shell.stdin is not None
        assert shell.stdout is not None
        shape = " -f json" if command.rsplit(maxsplit=1)[-1] in SHOWING or command == "volume attachment set" else ""
        shell.stdin.write(f"{command}{shape} {arguments}\n!echo {_MARK}\n")
        shell.stdin.flush()
        lines = []
        while (line := shell.stdout.readline()).strip() != _MARK:
            assert line, f"the shell ended: {self._said.read_text()}"
            lines.append(line)
        complaint = self._said.read_text()[self._heard :]
        self._heard += len(complaint)
        return "".join(lines).strip(), complaint.strip()

    def once(self, command: str, arguments: str = "") -> Any:
        """The same as a process of its own, whose exit code must be 0."""
        words = [str(BIN / "openstack"), *command.split(), *arguments.split()]
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        self._log.record("openstack", f"openstack {command}")
        return done.stdout

    def _start(self) -> "subprocess.Popen[str]":
        with self._said.open("w") as said:
            self._shell = subprocess.Popen(
                [BIN / "openstack"], env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        return self._shell

    def close(self) -> None:
        """End the shell."""
        if self._shell is not None:
            self._shell.communicate(timeout=20)


class Cinder:
    """python-cinderclient: the library, whose managers are its attributes, and the ``cinder`` command."""

    def __init__(self, url: str, project: str, folder: Path, log: Confirmations) -> None:
        self._log = log
        self._client = cinderclient.Client(NEWEST, session=session.Session(auth=CinderNoAuthPlugin("admin", project, endpoint=url)))
        self._environment = _environment(folder) | {
            "OS_AUTH_TYPE": "noauth",
            "CINDER_ENDPOINT": url,
            "OS_USER_ID": "admin",
            "OS_PROJECT_ID": project,
            "OS_VOLUME_API_VERSION": NEWEST,
        }

    def __getattr__(self, manager: str) -> Any:
        return Recorded(getattr(self._client, manager), "cinder", f"cinderclient {manager}.", self._log)

    def on(self, found: Any, method: str) -> Callable[..., Any]:
        """A method of an object that the library returned."""

        def call(*arguments: Any, **named: Any) -> Any:
            answer = getattr(found, method)(*arguments, **named)
            self._log.record("cinder", f"cinderclient {type(found).__name__}.{method}")
            return answer

        return call

    def run(self, command: str, *arguments: str) -> str:
        """Run ``cinder COMMAND ARGUMENTS``; what it prints. AssertionError when it fails."""
        words = [str(BIN / "cinder"), command, *arguments]
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        self._log.record("cinder", f"cinder {command}")
        return done.stdout


@contextmanager
def openstack_command(url: str, project: str, folder: Path, log: Confirmations) -> Iterator[Openstack]:
    """The command, whose shell is surely gone afterwards."""
    made = Openstack(url, project, folder, log)
    try:
        yield made
    finally:
        made.close()


def sdk(url: str, project: str, log: Confirmations) -> Any:
    """The block storage proxy of openstacksdk."""
    connection = openstack.connect(auth_type="none", endpoint=f"{url}/{project}", block_storage_default_microversion=NEWEST)
    return Recorded(connection.block_storage, "openstack", "openstacksdk ", log)


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8", "NO_PROXY": "*", "NO_COLOR": "1"}

"""A deployment that is spoken to over HTTP: the shipped application and policy on a World, whose workers the story steps."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.api.app import create
from breezeblock.api.auth.none import NoAuthentication
from breezeblock.api.policy import Policy
from breezeblock.api.routes import ROUTES
from breezeblock.api.rules import RULES
from breezeblock.api.services import ApiServices
from breezeblock.drivers.fake import Action, Rule
from breezeblock.resources.attachments import complete as attachment_complete
from breezeblock.resources.attachments import create as attachment_create
from breezeblock.resources.attachments import update as attachment_update
from breezeblock.worker.collect import collect
from tests.checkers.everything import Watch
from tests.support.api import Client
from tests.support.world import World


class Person:
    """Somebody with a token and a microversion. Every request says which status it must be answered with."""

    def __init__(self, app: Any, user: str, project: str, version: str) -> None:
        self._client = Client(app, f"{user}:{project}", {"OpenStack-API-Version": f"volume {version}"})
        self._root = f"/v3/{project}"

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The whole answer; ``path`` below the project."""
        parts = {} if body is None else {"json": body}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.send(method, self._root + path, headers=sent, **parts)

    def ask(self, method: str, path: str, body: Any = None, *, status: int, **headers: str) -> Any:
        """The answer's JSON, None without one."""
        answer = self.raw(method, path, body, **headers)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json if answer.content else None

    def get(self, path: str, status: int = 200) -> Any:
        return self.ask("GET", path, status=status)

    def post(self, path: str, body: Any, status: int = 202) -> Any:
        return self.ask("POST", path, body, status=status)

    def put(self, path: str, body: Any, status: int = 200) -> Any:
        return self.ask("PUT", path, body, status=status)

    def delete(self, path: str, status: int = 202) -> Any:
        return self.ask("DELETE", path, status=status)

    def act(self, path: str, action: str, inner: Any = None, status: int = 202) -> Any:
        """An action on what ``path`` names."""
        return self.post(f"{path}/action", {action: inner}, status)

    def refused(self, method: str, path: str, body: Any = None, *, status: int = 400) -> str:
        """The message of a refusal."""
        answer = self.ask(method, path, body, status=status)
        [fault] = answer.values()
        assert fault["code"] == status
        return str(fault["message"])

    def volume(self, **fields: Any) -> str:
        """Ask for a volume; its id."""
        return str(self.post("/volumes", {"volume": {"size": 1, **fields}})["volume"]["id"])

    def snapshot(self, volume_id: str, **fields: Any) -> str:
        """Ask for a snapshot; its id."""
        return str(self.post("/snapshots", {"snapshot": {"volume_id": volume_id, **fields}})["snapshot"]["id"])

    def status(self, path: str) -> str:
        """The status of what ``path`` names; "gone" without it."""
        answer = self.raw("GET", path)
        if answer.status_code == 404:
            return "gone"
        [shown] = answer.json.values()
        return str(shown["status"])


class Stepping:
    """While a request waits for a worker, the story's workers step, unless it says that they hang."""

    def __init__(self, story: "Story") -> None:
        self._story = story

    def wait(self, timeout: float, /) -> None:
        if self._story.workers_step:
            self._story.settle()
        else:
            time.sleep(timeout)


class Story(World):
    """A World with its API."""

    def __init__(self, url: str, path: Path, **changes: Any) -> None:
        super().__init__(url, path, **changes)
        self.workers_step = True
        self.rules: dict[str, str] = dict(RULES)
        self.app = self._app()
        self.watch = Watch(self.store, self.registry, self.driver)

    def _app(self) -> Any:
        policy, listen = Policy(self.clock, defaults=self.rules), lambda _queue: contextlib.nullcontext(Stepping(self))
        services = ApiServices(self.store, self.settings, self.clock, policy, NoAuthentication(), self.registry, listen)
        return create(services, ROUTES)

    def allow(self, **rules: str) -> None:
        """Start the API anew with other policy rules."""
        self.rules |= rules
        self.app = self._app()

    def configure(self, **quota: Any) -> None:
        """Start the API anew with other limits of a project."""
        self.settings = dataclasses.replace(self.settings, quota=dataclasses.replace(self.settings.quota, **quota))
        self.app = self._app()

    def person(self, user: str = "user", project: str = "p", version: str = "latest") -> Person:
        """Somebody; the user ``admin`` is an administrator."""
        return Person(self.app, user, project, version)

    def attach(self, volume_id: str) -> str:
        """Attach the volume to a guest, to the end; the attachment's id."""
        made: str = self.ask(attachment_create, {"volume_uuid": volume_id})["attachment"]["id"]
        self.ask(attachment_update, {"connector": {"host": "guest", "initiator": "iqn.2026-01.example:guest"}}, attachment_id=made)
        self.ask(attachment_complete, attachment_id=made)
        return made

    def fail_next(self, method: str, times: int = 1) -> None:
        """The next calls of a driver's method fail."""
        self.driver.store.add_rule(Rule(method, Action.FAIL, times=times))

    @contextlib.contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Every SQL statement that is executed within."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        sa.event.listen(self.store._engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(self.store._engine, "before_cursor_execute", note)

    @contextlib.contextmanager
    def meanwhile(self, statement: str, action: Callable[[], None], *, waits: bool = False) -> Iterator[None]:
        """Within, once, right before this thread executes a statement that begins so, ``action`` happens in another one.

        ``waits``: this thread's transaction must make it wait, so it ends when that does.
        """
        thread, begun = threading.Thread(target=action), threading.get_ident()

        def look(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
            if threading.get_ident() == begun and thread.ident is None and text.startswith(statement):
                thread.start()
                thread.join(1 if waits else 30)
                assert thread.is_alive() == waits, "it waits for what it interrupts" if not waits else "nothing makes it wait"

        sa.event.listen(self.store._engine, "before_cursor_execute", look)
        try:
            yield
        finally:
            sa.event.remove(self.store._engine, "before_cursor_execute", look)
        assert thread.ident is not None, "nothing was interrupted"
        thread.join(30)
        assert not thread.is_alive()

    def check(self) -> None:
        """All work is done, leftovers are collected, and every invariant holds."""
        self.settle()
        collect(self.store, self.registry, self.backend)
        self.watch.assert_sound(healed=True)

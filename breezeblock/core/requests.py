"""What a handler is given for one HTTP request, and what it may hand back.

A handler is ``request(req, **path_ids) -> Answer | Wait`` in a verb's module. It runs inside the
request's only transaction: a write transaction for POST, PUT, PATCH and DELETE, a read transaction
for GET. The store may run it again (protocol rule R7), so it must have no effect outside ``req.tx``
and must take every new id from :meth:`Request.new_id`. This module knows no HTTP server and no resource.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from breezeblock import errors
from breezeblock.core.clock import Clock
from breezeblock.core.versions import RequestVersion

if TYPE_CHECKING:
    from breezeblock.config import Settings
    from breezeblock.core.resource import Registry
    from breezeblock.store.engine import Tx

NOTHING: Mapping[str, Any] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    """The empty mapping that absent parts share."""
    return NOTHING


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: what authentication found out, and nothing that the request itself claims."""

    user_id: str
    project_id: str
    roles: frozenset[str]
    is_admin: bool
    user_name: str | None = None
    project_name: str | None = None
    user_domain_id: str | None = None
    project_domain_id: str | None = None
    service_roles: frozenset[str] = frozenset()


class Policy(Protocol):
    """The rules of who may do what (``breezeblock.api.policy`` in production)."""

    def allows(self, rule: str, caller: Caller, target: Mapping[Any, Any]) -> bool:
        """Whether ``caller`` may do ``rule`` to ``target``; an unknown rule is a programming error and raises KeyError."""


@dataclass(slots=True)
class Request:
    """One HTTP request, authenticated and validated. Lives as long as it, over every re-run of its transaction."""

    caller: Caller
    version: RequestVersion
    request_id: str
    tx: "Tx"
    clock: Clock
    settings: "Settings"
    policy: Policy
    registry: "Registry"
    """Every resource and verb; who overrides a status cancels jobs of any verb by it."""
    url: str
    """Scheme, host and prefix as the client sees them: ``http://host/v3/PROJECT``, or ``http://host/v3`` when the path named no project."""
    path: str = ""
    """The path below ``url``, as in ``/volumes/detail``; what a list's links are built on."""
    query: Mapping[str, str] = field(default_factory=nothing)
    """The query string; of a repeated name the last value."""
    params: Mapping[str, Any] = field(default_factory=nothing)
    """The query's declared fields, validated and converted (the verb's QUERY)."""
    body: Any = None
    """The inner object under the body's key, validated and converted (the verb's BODY): declared fields that were sent, and no others."""
    beside: Mapping[str, Any] = field(default_factory=nothing)
    """Declared fields that were sent beside the body's key, such as scheduler hints."""
    headers: Mapping[str, str] = field(default_factory=nothing)
    """Request headers, names in lower case."""
    asked: set[str] = field(default_factory=set)
    """The rules that :meth:`authorize` let pass; the dispatcher wants the route's among them before it commits."""
    _ids: dict[str, str] = field(default_factory=dict)

    def new_id(self, label: str) -> str:
        """A new UUID, the same one for the same ``label`` whenever this request's transaction is run again (R7)."""
        found = self._ids.get(label)
        if found is None:
            found = self._ids[label] = str(uuid.uuid4())
        return found

    def allowed(self, rule: str, target: Mapping[Any, Any] | None = None) -> bool:
        """Whether the caller may do ``rule`` (``volume:extend``) to ``target``; None stands for something of the caller's own project."""
        return self.policy.allows(rule, self.caller, self._own() if target is None else target)

    def authorize(self, rule: str, target: Mapping[Any, Any] | None = None) -> None:
        """Raise :class:`errors.Forbidden` unless :meth:`allowed`."""
        if not self.allowed(rule, target):
            raise errors.Forbidden(rule=rule)
        self.asked.add(rule)

    def _own(self) -> Mapping[Any, Any]:
        return {"project_id": self.caller.project_id, "user_id": self.caller.user_id}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets: the body is JSON's own types (datetimes as text), None for an empty body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=nothing)


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a synchronous job ended."""

    state: str
    """done, failed or cancelled."""
    result: Mapping[str, Any] = field(default_factory=nothing)
    """What the verb's ``run`` published; never a secret (R11)."""
    error: Mapping[str, Any] = field(default_factory=nothing)
    """``code`` and ``message`` of a failure."""

    @property
    def done(self) -> bool:
        """Whether it succeeded."""
        return self.state == "done"


@dataclass(frozen=True, slots=True)
class Wait:
    """Answer once a synchronous job has ended (R11).

    The dispatcher waits after the commit, outside any transaction, at most ``seconds``; then it calls
    ``reply`` in a new read transaction with the same request. On timeout it cancels the job if that is
    still queued, and answers 503.
    """

    job_id: str
    reply: Callable[[Request, JobResult], Answer]
    seconds: float = 30.0


class Handler(Protocol):
    """A verb's ``request``: ``(req, **path_ids) -> Answer | Wait``."""

    def __call__(self, req: Request, /, **path_ids: str) -> "Answer | Wait":
        """Do it inside ``req.tx``."""

"""Every error that a caller, an operator or another layer can meet.

One class is one HTTP status and one stable code; its docstring is the message, with
``{name}`` fields that the keyword arguments of the constructor fill. This module imports
nothing of Breezeblock, so every layer may raise from it.
"""

import inspect
from typing import Any, ClassVar


class Error(Exception):
    """The service met a condition that it did not expect."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, **details: Any) -> None:
        self.details = details
        super().__init__(self._template().format(**details))

    @classmethod
    def _template(cls) -> str:
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split())

    @property
    def message(self) -> str:
        """The sentence for the person who reads it."""
        return str(self)


# What a request can get wrong.


class Invalid(Error):
    """{reason}"""

    status, code = 400, "request.invalid"


class Unauthorized(Error):
    """The request needs a valid token: {reason}"""

    status, code = 401, "auth.required"


class Forbidden(Error):
    """Policy does not allow {rule} to be performed."""

    status, code = 403, "auth.forbidden"


class NotFound(Error):
    """{kind} {id} could not be found."""

    status, code = 404, "resource.not_found"


class RouteNotFound(Error):
    """The resource could not be found."""

    status, code = 404, "route.not_found"


class MethodNotAllowed(Error):
    """{method} is not allowed on this path; allowed are: {allowed}."""

    status, code = 405, "route.method"


class VersionNotAcceptable(Error):
    """Version {asked} is not supported by the API. Minimum is {low} and maximum is {high}."""

    status, code = 406, "version.not_acceptable"


class Conflict(Error):
    """{verb} {kind} {id} is not possible now: {reasons}"""

    status, code = 409, "conflict.state"


class ConflictAsInvalid(Conflict):
    """{verb} {kind} {id} is not possible now: {reasons}"""

    status = 400


class PreconditionFailed(Error):
    """The resource has changed: its ETag does not match If-Match."""

    status, code = 412, "precondition.etag"


class TooLarge(Error):
    """The request body is larger than {limit} bytes."""

    status, code = 413, "request.too_large"


class OverQuota(Error):
    """{reason}"""

    status, code = 413, "quota.exceeded"


# What the service cannot do at present; each of these is worth a retry.


class Unavailable(Error):
    """The service cannot answer now: {reason}"""

    status, code = 503, "service.unavailable"
    retry_after_seconds: ClassVar[int] = 5


class DatabaseAway(Unavailable):
    """The database does not answer now; nothing was changed. Try again in a few seconds."""

    code = "database.away"


class OutcomeUnknown(DatabaseAway):
    """The database went away while it committed, and whether the change was made is not known. Look before you repeat it."""

    code = "database.outcome_unknown"


class DatabaseBusy(Unavailable):
    """The database is too busy to finish this now; nothing was changed. Try again in a few seconds."""

    code = "database.busy"


class NoCapableWorker(Unavailable):
    """No live worker serves {queue}, so {verb} cannot be answered now. Start one, or look at 'openstack volume service list'."""

    code = "worker.none"


class AnswerTimedOut(Unavailable):
    """No worker answered {verb} within {seconds} seconds. Repeat the request: it joins the work under way."""

    code = "worker.timeout"


# What goes wrong between a worker, the database and the storage.


class LostClaim(Error):
    """Job {job} at epoch {epoch} is no longer held by this worker; its result was dropped."""

    code = "job.lost_claim"


class LostLease(Error):
    """Worker {worker} is no longer live: {reason}"""

    code = "worker.lost_lease"


class Fenced(Error):
    """The storage refused token {token} of {resource}: it has already seen {seen}."""

    code = "driver.fenced"


class DriverError(Error):
    """The storage backend failed: {reason}"""

    code = "driver.failed"


class NoSpace(DriverError):
    """There is no space left on {where} for {what}."""

    code = "driver.no_space"


class ObjectMissing(DriverError):
    """{what} does not exist on the backend."""

    code = "driver.missing"


class DaemonRefused(DriverError):
    """The storage daemon refused {command}: {reason}"""

    code = "export.refused"


class DaemonSilent(DriverError):
    """The storage daemon does not answer: {reason}"""

    code = "export.silent"


class ObjectBusy(DriverError):
    """{what} is in use on the backend: {reason}"""

    code = "driver.busy"


class CounterBroken(Error):
    """The {counter} would become negative by {change}: it no longer agrees with what it counts. Nothing was changed."""

    code = "counter.broken"


class LockHeld(Unavailable):
    """Somebody else held lock {name} for {seconds:g} seconds."""

    code = "lock.held"


class LocksAway(Unavailable):
    """The lock service {service} does not answer: {reason}"""

    code = "lock.away"


class LockLost(Error):
    """Lock {name} was lost while it was needed: {reason}"""

    code = "lock.lost"


class NoValidPool(Error):
    """No storage pool can take a volume of this size, type and zone now."""

    code = "scheduler.no_pool"


class BadConfiguration(Error):
    """The configuration cannot be used: {reason}"""

    code = "config.invalid"

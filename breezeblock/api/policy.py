"""Who may do what: oslo.policy's language and files, evaluated by functions made once per rule.

oslo.policy parses the defaults and the operator's file, and reads the file again when it changes. Its own
evaluation inspects a signature for every node of a rule, which cost 360 microseconds for a common one; the
checks of its documented kinds are therefore turned into plain functions, and any other kind (http, extensions)
is left to oslo.policy's own object. A rule that refers to one that does not exist stops the start. Rules of the
operator's file that this service does not ask are kept, so that the file may serve other releases too.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import _checks as checks
from oslo_policy import policy

from breezeblock import errors
from breezeblock.api.rules import RULES
from breezeblock.core.clock import Clock
from breezeblock.core.requests import Caller

Target = Mapping[Any, Any]
Credentials = dict[str, Any]
Check = Callable[[Target, Credentials], bool]
RELOAD_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Policy:
    """The rules in force. Thread-safe: a reload replaces the whole table."""

    def __init__(self, clock: Clock, file: str = "", defaults: Mapping[str, str] = RULES) -> None:
        """``file``: the operator's policy file, or empty. Raises :class:`errors.BadConfiguration` naming what is wrong in it."""
        self._clock = clock
        self._defaults = defaults
        self._file = Path(file) if file else None
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._rules = self._load()
        self._next_look = clock.boottime() + RELOAD_SECONDS

    def allows(self, rule: str, caller: Caller, target: Target) -> bool:
        """Whether ``caller`` may do ``rule`` to ``target``. KeyError for a rule that is not declared."""
        if self._file is not None and self._clock.boottime() >= self._next_look:
            self._reload()
        return self._rules[rule](target, credentials(caller))

    def __contains__(self, rule: object) -> bool:
        return rule in self._defaults

    def _look(self) -> tuple[int, int] | None:
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError as error:
            raise errors.BadConfiguration(reason=f"policy_file {self._file} cannot be read: {error.strerror}") from None
        return found.st_mtime_ns, found.st_size

    def _reload(self) -> None:
        """Take a changed file; a file that became unusable is logged, and the rules stay as they were."""
        with self._lock:
            self._next_look = self._clock.boottime() + RELOAD_SECONDS
            try:
                stamp = self._look()
                if stamp != self._stamp:
                    self._rules, self._stamp = self._load(), stamp
            except errors.BadConfiguration as error:
                _log.error("the policy file was not taken: %s", error)

    def _load(self) -> dict[str, Check]:
        conf = cfg.ConfigOpts()
        conf([], project="breezeblock", default_config_files=[], default_config_dirs=[])
        enforcer = policy.Enforcer(conf, policy_file=str(self._file) if self._file else None, use_conf=False)
        enforcer.suppress_default_change_warnings = enforcer.suppress_deprecation_warnings = True
        rules = policy.Rules.from_dict(dict(self._defaults))
        if self._file is not None:
            rules.update(self._read(self._file))
        enforcer.set_rules(rules, use_conf=False)
        for name, rule in rules.items():
            self._check_names(name, rule, rules)
        return {name: compiled(rule, enforcer, name) for name, rule in rules.items()}

    def _read(self, file: Path) -> Mapping[str, Any]:
        try:
            texts = policy.parse_file_contents(file.read_text())
        except (ValueError, OSError) as error:
            raise errors.BadConfiguration(reason=f"policy_file {file} cannot be read: {error}") from None
        if not isinstance(texts, dict):
            raise errors.BadConfiguration(reason=f"policy_file {file} must be a mapping of rules, one name and one rule to a line")
        own: Mapping[str, Any] = policy.Rules.from_dict(texts)
        for name, rule in own.items():
            if isinstance(rule, checks.FalseCheck) and texts[name] != "!":  # what oslo.policy makes of what it cannot parse
                raise errors.BadConfiguration(reason=f"policy_file {file}: rule {name!r} cannot be read: {texts[name]!r}")
        return own

    def _check_names(self, name: str, rule: Any, rules: Mapping[str, Any]) -> None:
        for found in named(rule):
            if found not in rules:
                raise errors.BadConfiguration(reason=f"policy rule {name!r} refers to {found!r}, which is no rule")


def credentials(caller: Caller) -> Credentials:
    """What a rule's left sides see of the caller."""
    return {
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "roles": caller.roles,
        "is_admin": caller.is_admin,
        "is_admin_project": True,
        "user_domain_id": caller.user_domain_id,
        "project_domain_id": caller.project_domain_id,
        "service_roles": caller.service_roles,
    }


def named(rule: Any) -> list[str]:
    """The names of the rules that ``rule`` refers to."""
    if isinstance(rule, checks.RuleCheck):
        return [rule.match]
    below = getattr(rule, "rules", None) or ([rule.rule] if isinstance(rule, checks.NotCheck) else [])
    return [name for each in below for name in named(each)]


def compiled(rule: Any, enforcer: policy.Enforcer, name: str, depth: int = 0) -> Check:
    """``rule`` as one function. Raises :class:`errors.BadConfiguration` for rules that refer to each other in a circle."""
    if depth > 50:
        raise errors.BadConfiguration(reason=f"policy rule {name!r} refers to itself")
    match rule:
        case checks.TrueCheck():
            return lambda *_: True
        case checks.FalseCheck():
            return lambda *_: False
        case checks.NotCheck():
            inner = compiled(rule.rule, enforcer, name, depth + 1)
            return lambda target, creds: not inner(target, creds)
        case checks.AndCheck():
            every = tuple(compiled(each, enforcer, name, depth + 1) for each in rule.rules)
            return lambda target, creds: all(each(target, creds) for each in every)
        case checks.OrCheck():
            some = tuple(compiled(each, enforcer, name, depth + 1) for each in rule.rules)
            return lambda target, creds: any(each(target, creds) for each in some)
        case checks.RuleCheck():
            return compiled(enforcer.rules[rule.match], enforcer, name, depth + 1)
        case checks.RoleCheck() if "%(" not in rule.match:
            role = rule.match.lower()
            return lambda _, creds: role in creds["roles"]
        case checks.GenericCheck() if _simple(rule.kind):
            return _generic(rule.kind, rule.match)
    return lambda target, creds: bool(rule(dict(target), creds | {"roles": sorted(creds["roles"])}, enforcer, name))


def _simple(kind: str) -> bool:
    return kind in {"user_id", "project_id", "is_admin", "is_admin_project", "user_domain_id", "project_domain_id"}


def _generic(kind: str, match: str) -> Check:
    """``kind:match``: an attribute of the caller against a literal or an attribute of the target. What is missing or None never matches."""

    def check(target: Target, creds: Credentials) -> bool:
        try:
            return creds[kind] is not None and str(creds[kind]) == match % target
        except KeyError:
            return False

    return check

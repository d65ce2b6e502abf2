"""Extra specs against capabilities: the operators that Block Storage operators write in volume types.

Pure. ``<is> True``, ``<in> part``, ``<or> this <or> that``, ``s== text``, ``>= 5`` and their kin are
the field's own notation; a spec without an operator must equal the capability.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})

_NUMERIC: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_TEXTUAL: Mapping[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
    "<in>": lambda actual, part: part in actual,
    "<is>": lambda actual, wanted: truth(actual) is truth(wanted),
}


def truth(text: object) -> bool:
    """Whether a capability or a spec says yes, in any of the usual spellings."""
    return str(text).strip().lower() in TRUE


def matches(actual: Any, spec: str) -> bool:
    """Whether the capability ``actual`` meets ``spec``; of a list, whether any item does. An absent (None) one never does."""
    if actual is None:
        return False
    if isinstance(actual, list | tuple | set | frozenset):
        return any(matches(item, spec) for item in actual)
    sign, _, operand = spec.strip().partition(" ")
    operand = operand.strip()
    if sign == "<or>":
        return str(actual) in [choice.strip() for choice in operand.split("<or>")]
    if sign in _TEXTUAL:
        return bool(operand) and _TEXTUAL[sign](str(actual), operand)
    if sign in _NUMERIC:
        return _numeric(actual, sign, operand)
    return _equal(actual, spec)


def _numeric(actual: Any, sign: str, operand: str) -> bool:
    try:
        return _NUMERIC[sign](float(actual), float(operand))
    except (TypeError, ValueError):
        return False


def _equal(actual: Any, spec: str) -> bool:
    if isinstance(actual, bool):
        return actual is truth(spec)
    return str(actual) == spec or (isinstance(actual, int | float) and _numeric(actual, "==", spec))


def demanded(extra_specs: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """The specs that speak of capabilities, each with the path of its capability.

    ``name`` and ``capabilities:name[:inner]`` do; any other scope (``provisioning:``, ``RESKEY:``, a
    vendor's) is somebody else's and says nothing about pools.
    """
    found: dict[tuple[str, ...], str] = {}
    for key, spec in extra_specs.items():
        path = tuple(key.split(":"))
        if len(path) == 1:
            found[path] = spec
        elif path[0] == "capabilities":
            found[path[1:]] = spec
    return found


def lookup(facts: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The capability at ``path``, or None."""
    value: Any = facts
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def unmet(facts: Mapping[str, Any], extra_specs: Mapping[str, str]) -> list[str]:
    """One sentence for each spec that ``facts`` do not meet."""
    return [
        f"{':'.join(path)} is {shown!r}, wanted is {spec!r}"
        for path, spec in demanded(extra_specs).items()
        if not matches(shown := lookup(facts, path), spec)
    ]

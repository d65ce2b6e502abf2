"""The kinds of value that requests hold: a JSON Schema, what a person calls it, and its conversion to Python.

Spellings follow what OpenStack's Block Storage clients send: numbers also as text, booleans in words.
A field describes a value only; whether it is there, and since when, is said where it is used.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from breezeblock.core.versions import V

MAX_INT = 2**31 - 1

TRUE_WORDS = ("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t")
FALSE_WORDS = ("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f")


def same(value: Any) -> Any:
    """The conversion of a value that needs none."""
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """A declared field. ``parse`` runs after the schema passed; a ValueError from it is a refusal like the schema's."""

    schema: Mapping[str, Any]
    expected: str
    """What is accepted, to follow "must be" in a message."""
    parse: Callable[[Any], Any] = same
    since: V = V.BASE
    until: V | None = None
    """The first version that does not have the field any more."""
    required: bool = False
    secret: bool = False
    """Its value never appears in a message."""

    def but(self, **changes: Any) -> "Field":
        """The same kind of value, used under other conditions: ``NAME.but(required=True, since=V.GROUPS)``."""
        return replace(self, **changes)


def text(longest: int = 255, *, shortest: int = 0, pattern: str | None = None, expected: str | None = None) -> Field:
    """Text of ``shortest`` to ``longest`` characters, whole against ``pattern`` (anchor it)."""
    schema: dict[str, Any] = {"type": "string", "minLength": shortest, "maxLength": longest}
    if pattern is not None:
        schema["pattern"] = pattern
    return Field(schema, expected or f"text of {shortest} to {longest} characters")


def nullable(kind: Field) -> Field:
    """``kind``, or null, which stays None."""
    parse = kind.parse
    return kind.but(
        schema={"anyOf": [{"type": "null"}, dict(kind.schema)]},
        expected=f"{kind.expected}, or null",
        parse=lambda value: None if value is None else parse(value),
    )


def one_of(*values: str) -> Field:
    """One of the words ``values``."""
    return Field({"type": "string", "enum": list(values)}, f"one of {', '.join(values)}")


def integer(lowest: int, highest: int = MAX_INT) -> Field:
    """A whole number in ``lowest..highest``, also as decimal text; converted to int."""

    def parse(value: Any) -> int:
        number = int(value)
        if not lowest <= number <= highest:
            raise ValueError(value)
        return number

    schema = {"type": ["integer", "string"], "minimum": lowest, "maximum": highest, "pattern": "^[+-]?[0-9]{1,19}$"}
    return Field(schema, f"a whole number from {lowest} to {highest}", parse)


def table(of: Field, *, key_pattern: str | None = None, expected: str) -> Field:
    """An object with free names of 1 to 255 characters, each with a value of kind ``of``."""
    names: dict[str, Any] = {"minLength": 1, "maxLength": 255}
    if key_pattern is not None:
        names["pattern"] = key_pattern
    return Field({"type": "object", "propertyNames": names, "additionalProperties": dict(of.schema)}, expected)


def _boolean(value: Any) -> bool:
    return value in TRUE_WORDS if isinstance(value, str) else bool(value)


def _uuid(value: str) -> str:
    return str(uuid.UUID(value))


def _stripped(value: str) -> str:
    return value.strip()


TEXT = text()
NAME = nullable(TEXT.but(parse=_stripped))
"""A resource's name; white space around it is dropped."""
DESCRIPTION = nullable(TEXT)
BOOLEAN = Field({"enum": [True, False, *TRUE_WORDS, *FALSE_WORDS]}, "true or false", _boolean)
POSITIVE = integer(1)
NOT_NEGATIVE = integer(0)
UUID = Field(
    {"type": "string", "pattern": "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"},
    "a UUID",
    _uuid,
)
UUID_OR_NULL = nullable(UUID)
METADATA = table(TEXT, expected="an object of text to text: names of 1 to 255 characters, values of at most 255")
METADATA_OR_NULL = nullable(METADATA)
EXTRA_SPECS = table(
    TEXT,
    key_pattern=r"^[a-zA-Z0-9_:. \-]+$",
    expected="an object of text to text: names of letters, digits, '_', ':', '.', '-' and space, values of at most 255 characters",
)
ANY = Field({}, "any value")
OBJECT = Field({"type": "object"}, "an object")
NULL = Field({"type": "null"}, "null")

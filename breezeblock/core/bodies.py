"""Request bodies and queries as declarations: one per verb, from which each microversion's JSON Schema is made.

A verb declares ``BODY`` (and ``QUERY``); the dispatcher makes one :class:`Checker` from it when the application
starts and asks it for each request. Schemas are compiled once per distinct set of fields and never during a
request that was seen before. Nothing here compares version numbers or knows a resource.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from breezeblock import errors
from breezeblock.core.fields import Field
from breezeblock.core.versions import RequestVersion, V

LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Body:
    """What a verb accepts in its body.

    ``key``: the name that the inner object stands under (``volume``, ``os-extend``), or None when the body is that object.
    ``fields``: the inner object's fields; those that a version does not know are dropped, or refused once ``strict_since`` is reached.
    ``whole``: for an inner value that is not an object of declared fields (metadata), its kind.
    ``others``: the kind of undeclared fields, which are then kept (quota names).
    ``beside``: fields next to ``key``. ``nullable``: null stands for an empty inner object.
    ``one_needed_since``: from then on the inner object must hold at least one field.
    """

    key: str | None
    fields: Mapping[str, Field] | None = None
    whole: Field | None = None
    others: Field | None = None
    beside: Mapping[str, Field] | None = None
    strict_since: V | None = None
    one_needed_since: V | None = None
    nullable: bool = False

    def __post_init__(self) -> None:
        if (self.fields is None) == (self.whole is None):
            raise ValueError("a Body declares either fields or whole")

    def schema(self, version: RequestVersion) -> dict[str, Any]:
        """The JSON Schema of the whole body at ``version``."""
        inner = self._inner(version)
        if self.key is None:
            return inner
        beside = known(self.beside or {}, version)
        return _object({self.key: inner} | {name: dict(field.schema) for name, field in beside.items()}, [self.key])

    def _inner(self, version: RequestVersion) -> dict[str, Any]:
        if self.whole is not None:
            return dict(self.whole.schema)
        fields = known(self.fields or {}, version)
        inner = _object(
            {name: dict(field.schema) for name, field in fields.items()}, [name for name, field in fields.items() if field.required]
        )
        if self.others is not None:
            inner["additionalProperties"] = dict(self.others.schema)
        elif self.strict_since is not None and version.has(self.strict_since):
            inner["additionalProperties"] = False
        if self.one_needed_since is not None and version.has(self.one_needed_since):
            inner["minProperties"] = 1
        if self.nullable:
            inner["type"] = ["object", "null"]
        return inner

    def read(self, document: Any, version: RequestVersion) -> tuple[Any, dict[str, Any]]:
        """Convert a document that passed :meth:`schema`: the inner value, and what stood beside it."""
        inner = document if self.key is None else document[self.key]
        path = self.key or ""
        if self.whole is not None:
            return converted(self.whole, path, inner), self._read_beside(document, version)
        fields, result = known(self.fields or {}, version), {}
        for name, value in (inner or {}).items():
            field = fields.get(name, self.others)
            if field is not None:
                result[name] = converted(field, _dotted(path, name), value)
        return result, self._read_beside(document, version)

    def _read_beside(self, document: Any, version: RequestVersion) -> dict[str, Any]:
        beside = known(self.beside or {}, version)
        return {name: converted(field, name, document[name]) for name, field in beside.items() if name in document}

    def find(self, path: list[str | int], version: RequestVersion) -> tuple[str, Field | None]:
        """The declared field that a schema error's ``path`` lies in, and the name to call it."""
        if self.key is None or not path or path[0] != self.key:
            return (str(path[0]), self._field(path[0], version)) if path else ("", self.whole)
        if self.whole is not None or len(path) == 1:
            return _dotted(*path), self.whole
        return _dotted(*path), self._field(path[1], version)

    def _field(self, name: str | int, version: RequestVersion) -> Field | None:
        everything = {**(self.beside or {}), **(self.fields or {})}
        return known(everything, version).get(str(name), self.others)


@dataclass(frozen=True, slots=True)
class Query:
    """What a verb reads from its query string: every value is text, and of a repeated name the last one counts."""

    fields: Mapping[str, Field]
    strict_since: V | None = None

    def body(self) -> Body:
        """The same declaration as the body that it amounts to."""
        return Body(None, self.fields, strict_since=self.strict_since)


class Checker:
    """Validates documents against one declaration. Keeps the compiled schemas, which are the same for most versions."""

    __slots__ = ("_body", "_by_shape", "_by_version", "_what")

    def __init__(self, body: Body, what: str = "the request body") -> None:
        self._body = body
        self._what = what
        self._by_version: dict[RequestVersion, jsonschema_rs.Validator] = {}
        self._by_shape: dict[str, jsonschema_rs.Validator] = {}

    def check(self, document: Any, version: RequestVersion) -> tuple[Any, dict[str, Any]]:
        """The converted inner value and what stood beside it; raises :class:`errors.Invalid` naming field, value and what is expected."""
        validator = self._by_version.get(version) or self._compile(version)
        if not validator.is_valid(document):
            raise errors.Invalid(reason=self._explain(validator, document, version))
        return self._body.read(document, version)

    def _compile(self, version: RequestVersion) -> jsonschema_rs.Validator:
        schema = self._body.schema(version)
        shape = repr(schema)
        validator = self._by_shape.get(shape)
        if validator is None:
            validator = self._by_shape[shape] = jsonschema_rs.Draft202012Validator(schema)
        self._by_version[version] = validator
        return validator

    def _explain(self, validator: jsonschema_rs.Validator, document: Any, version: RequestVersion) -> str:
        try:
            error = next(iter(validator.iter_errors(document)))
        except ValueError:  # its errors carry the value, which it copies to a limited depth only
            return f"Invalid input: {self._what} is nested too deeply."
        return explain(self._body, error, version, self._what)


def explain(body: Body, error: jsonschema_rs.ValidationError, version: RequestVersion, what: str) -> str:
    """One sentence for a person: which field, what it was, what it must be."""
    path = list(error.instance_path)
    where, field = body.find(path, version)
    said = _structural(where or what, error)
    if said is not None and (field is None or not path):
        return said
    if field is None:
        shape = f"an object with the key '{body.key}'" if not path and body.key else "an object"
        return f"Invalid input: {where or what} must be {shape}."
    return refusal(where, field, error.instance)


def refusal(where: str, field: Field, value: Any) -> str:
    """The sentence for a value that is not of its field's kind; a secret's value is not repeated."""
    said = "" if field.secret else f" Value: {shown(value)}."
    return f"Invalid input for field {where}.{said} It must be {field.expected}."


def shown(value: Any) -> str:
    """``value`` for a message: one line, cut to a length that a person reads."""
    said = repr(value)
    return said if len(said) <= LONGEST_SHOWN else f"{said[:LONGEST_SHOWN]}..."


def converted(field: Field, where: str, value: Any) -> Any:
    """``value`` as Python's own; raises :class:`errors.Invalid`."""
    try:
        return field.parse(value)
    except (ValueError, OverflowError) as error:
        raise errors.Invalid(reason=refusal(where, field, value)) from error


def known(fields: Mapping[str, Field], version: RequestVersion) -> dict[str, Field]:
    """The fields that exist at ``version``."""
    return {
        name: field
        for name, field in fields.items()
        if version.has(field.since) and not (field.until is not None and version.has(field.until))
    }


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _dotted(*path: str | int) -> str:
    return ".".join(str(part) for part in path if part != "")


def _structural(where: str, error: jsonschema_rs.ValidationError) -> str | None:
    """The sentence for what an object lacks or has too much; None when the error is another."""
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return f"Invalid input: {where} lacks the required field '{kind.property}'."
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        names = ", ".join(f"'{name}'" for name in kind.unexpected)
        return f"Invalid input: {where} has fields that this version does not know: {names}."
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.MinProperties):
        return f"Invalid input: {where} must hold at least one field."
    return None

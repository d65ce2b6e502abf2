"""Logging: the standard library's, one line per event, to standard error, with no secret in it.

A line says when, how grave, which process (its role), for which request and job, who speaks, and what.
The request and the job are set around their work with :func:`bound`. The redaction is the last step
before the line leaves, so that tracebacks and other libraries' messages pass through it too. It is a
net below the rule, not the rule: code does not log secrets. (oslo.utils has a similar net, whose import
alone takes a fifth of a second.)
"""

import contextlib
import contextvars
import datetime
import json
import logging
import re
from collections.abc import Iterator
from typing import Final, TextIO

HIDDEN: Final = "***"
_request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
_job_id: contextvars.ContextVar[str] = contextvars.ContextVar("job_id", default="")

_URL_SECRET: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/:@'\"]*):(?P<secret>[^\s/'\"]*)@")
_HEADER: Final = re.compile(
    r"(?i)\b(x-(?:auth|subject|service)-token|authorization|www-authenticate)\b(['\"]?\s*[:=,]\s*)(b?['\"]?)[^\r\n'\",}\])]+"
)
_CONNECTION: Final = re.compile(r"(?i)\b(?:connection_info|connector|connection_data)['\"]?\s*[:=]\s*(?=[{\[(])")
_WORDS: Final = r"[\w-]*(?:passw(?:or)?d|admin_?pass|secret|passphrase|token|chap|private_key|key_material|auth_key)[\w-]*"
_KEYS: Final = re.compile(
    rf"(?i)(?P<key>--{_WORDS}[\s=]+|['\"]?{_WORDS}['\"]?\s*[:=]\s*)"
    r"(?P<value>b?'[^']*'|b?\"[^\"]*\"|[^\s,;}\])'\"]+)"
)
_HINTS: Final = ("pass", "secret", "token", "chap", "key", "auth", "connect", "://")
"""What every expression above needs in its text, in lower case: a line without any of them is safe, and most lines are."""
_PAIRS: Final = {"{": "}", "[": "]", "(": ")"}


@contextlib.contextmanager
def bound(*, request_id: str | None = None, job_id: str | None = None) -> Iterator[None]:
    """Put the request and the job that the block works for into every line that it logs; None leaves what is there."""
    tokens = [(variable, variable.set(value)) for variable, value in ((_request_id, request_id), (_job_id, job_id)) if value is not None]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def redact(text: str) -> str:
    """``text`` without what looks like a secret: tokens, passwords, the passwords of URLs, and all of a ``connection_info``."""
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text
    text = _without_connections(text)
    text = _URL_SECRET.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", text)
    text = _HEADER.sub(rf"\1\2\3{HIDDEN}", text)
    return _KEYS.sub(rf"\g<key>{HIDDEN}", text)


def _without_connections(text: str) -> str:
    """Everything between the brackets that follow a key such as ``connection_info``."""
    parts, start = [], 0
    for match in _CONNECTION.finditer(text):
        if match.end() < start:
            continue
        end = _closing(text, match.end())
        parts += [text[start : match.end()], HIDDEN]
        start = end
    return "".join([*parts, text[start:]])


def _closing(text: str, opening: int) -> int:
    """The index after the bracket that closes the one at ``opening``; the end of the text when none does."""
    expected: list[str] = []
    quote = ""
    position = opening
    while position < len(text):
        letter = text[position]
        if quote:
            position += letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _PAIRS:
            expected.append(_PAIRS[letter])
        elif letter == expected[-1]:
            expected.pop()
            if not expected:
                return position + 1
        position += 1
    return len(text)


class TextFormatter(logging.Formatter):
    """``2026-11-21T03:26:01.123Z INFO worker:local req-1 job-2 breezeblock.worker: what happened``; a dash where there is nothing."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it where there is one."""
        head = f"{_moment(record)} {record.levelname} {self.role} {_request_id.get() or '-'} {_job_id.get() or '-'} {record.name}: "
        return redact(head + super().format(record))


class JsonFormatter(TextFormatter):
    """The same as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {
            "time": _moment(record),
            "level": record.levelname,
            "role": self.role,
            "request_id": _request_id.get() or None,
            "job_id": _job_id.get() or None,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            fields["traceback"] = redact(self.formatException(record.exc_info))
        return json.dumps({name: value for name, value in fields.items() if value is not None})


def _moment(record: logging.LogRecord) -> str:
    return datetime.datetime.fromtimestamp(record.created, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def set_up(role: str, stream: TextIO, *, debug: bool = False, log_format: str = "text") -> None:
    """Send this process's log to ``stream``, replacing what was set up before; ``role`` says what the process is.

    ``log_format`` is ``text`` or ``json``. Libraries log from level WARNING on, ours from INFO (or DEBUG).
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(role) if log_format == "json" else TextFormatter(role))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("breezeblock").setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)

"""The log: its lines, whose work they are about, and no secret in any of them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from breezeblock import logs

log = logging.getLogger("breezeblock.test")


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("breezeblock")
    before = (list(root.handlers), root.level, ours.level)
    stream = io.StringIO()
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.captureWarnings(capture=False)


def test_a_line_says_when_who_for_whom_and_what(output: io.StringIO) -> None:
    logs.set_up("worker:local", output)
    with logs.bound(request_id="req-1"), logs.bound(job_id="job-2"):
        log.info("extended %s", "volume")
    log.info("idle")
    first, second = output.getvalue().splitlines()
    assert first.endswith("Z INFO worker:local req-1 job-2 breezeblock.test: extended volume")
    assert second.endswith("Z INFO worker:local - - breezeblock.test: idle")
    assert first[:2] == "20"


def test_json_lines(output: io.StringIO) -> None:
    logs.set_up("api", output, log_format="json")
    with logs.bound(request_id="req-1"):
        log.warning("password=%s", "hush")
    line = json.loads(output.getvalue())
    assert (line["level"], line["role"], line["request_id"], line["message"]) == ("WARNING", "api", "req-1", "password=***")
    assert "job_id" not in line


def test_debug_is_ours_alone(output: io.StringIO) -> None:
    logs.set_up("api", output)
    log.debug("no")
    logs.set_up("api", output, debug=True)
    log.debug("yes")
    logging.getLogger("sqlalchemy.pool").info("noise")
    assert [line.rpartition(": ")[2] for line in output.getvalue().splitlines()] == ["yes"]


SECRETS = [
    "X-Auth-Token: s3cr3t-of-ours",
    "{'X-Auth-Token': 's3cr3t-of-ours', 'Accept': '*/*'}",
    "headers [('x-auth-token', 's3cr3t-of-ours')]",
    "Authorization: Basic s3cr3t-of-ours==",
    "connecting to postgresql+psycopg://admin:s3cr3t-of-ours@db/breezeblock",
    "redis://:s3cr3t-of-ours@lock:6379",
    "auth_password=s3cr3t-of-ours auth_method=CHAP",
    "{'auth_password': 's3cr3t-of-ours'}",
    '{"auth_password": "s3cr3t-of-ours, and more"}',
    "{'discovery_auth_password': 's3cr3t-of-ours'}",
    "secret: s3cr3t-of-ours",
    "{'encryption_secret': b's3cr3t-of-ours'}",
    "connection_info={'driver_volume_type': 'rbd', 'data': {'x': ['s3cr3t-of-ours']}} done",
    "{'id': 1, 'connection_info': {'keyring': \"s3cr3t-of-ours }\", 'more': 's3cr3t-of-ours'}, 'mode': 'rw'}",
    "connection_info: {'unterminated': 's3cr3t-of-ours",
    "connector = {'initiator': 's3cr3t-of-ours'}",
    "passphrase 'x' passphrase='s3cr3t-of-ours'",
    "mysqldump --password s3cr3t-of-ours --host db",
    "running: tool --auth-token=s3cr3t-of-ours",
    "adminPass: s3cr3t-of-ours",
    '{"chap_secret": "s3cr3t-of-ours"}',
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_stay_out(output: io.StringIO, text: str) -> None:
    logs.set_up("api", output)
    log.error(text.replace("%", "%%"))
    assert "s3cr3t" not in output.getvalue()
    assert logs.HIDDEN in output.getvalue()


def test_a_traceback_is_redacted_too(output: io.StringIO) -> None:
    logs.set_up("api", output)
    try:
        raise ValueError("cannot use mysql://root:s3cr3t-of-ours@db")
    except ValueError:
        log.exception("failed")
    assert "ValueError: cannot use mysql://root:***@db" in output.getvalue()
    assert "s3cr3t" not in output.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "volume 8f2c extended to 5 GiB by job 77, token 1.2.3",
        "GET http://127.0.0.1:8776/v3/p/volumes?limit=5",
        "{'id': 'x', 'connection_info': {'a': 1}, 'mode': 'rw'}",
        "the connector of host-1",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.redact(text) == text.replace("{'a': 1}", logs.HIDDEN)

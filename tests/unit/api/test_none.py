"""Authentication ``none``: who a token makes of its sender."""

import pytest

from breezeblock import errors
from breezeblock.api.auth.none import NoAuthentication


@pytest.mark.parametrize(
    ("headers", "path_project", "user", "project", "admin"),
    [
        ({"x-auth-token": "alice:web"}, None, "alice", "web", False),
        ({"x-auth-token": "admin:web"}, "web", "admin", "web", True),
        ({"x-auth-token": "alice"}, "web", "alice", "web", False),
        ({"x-auth-token": "alice"}, None, "alice", "default", False),
        ({"x-auth-token": "alice", "x-project-id": "web"}, None, "alice", "web", False),
        ({"x-auth-token": "notused"}, "web", "admin", "web", True),
        ({}, "web", "admin", "web", True),
        ({}, None, "admin", "default", True),
        ({"x-auth-token": ":web"}, None, "admin", "web", True),
        ({"x-auth-token": "a:b:c"}, None, "a", "b:c", False),
    ],
)
def test_the_token_is_believed(headers: dict[str, str], path_project: str | None, user: str, project: str, admin: bool) -> None:
    caller = NoAuthentication().caller(headers, path_project)
    assert (caller.user_id, caller.project_id, caller.is_admin) == (user, project, admin)
    assert ("admin" in caller.roles) == admin
    assert {"member", "reader"} <= caller.roles


@pytest.mark.parametrize("token", ["a" * 256 + ":p", "a:" + "p" * 256, "a\x01:p", "a:p\x7f", "a:p/q"])
def test_what_could_be_no_id_is_refused(token: str) -> None:
    with pytest.raises(errors.Unauthorized):
        NoAuthentication().caller({"x-auth-token": token}, None)

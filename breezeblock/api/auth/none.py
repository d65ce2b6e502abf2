"""``auth_strategy = none``: whoever reaches the port is believed. For one machine, or a network where everybody is trusted.

The token is ``USER:PROJECT``; the user ``admin`` is an administrator. A token without a colon names
the user alone, and the project is then the path's. What keystoneauth's ``none`` plugin sends, and no
token at all, mean the administrator. This is the contract of OpenStack's own no-authentication mode,
so its clients' plugins for that work unchanged. It must never be used on a network that anybody else reaches.
"""

from collections.abc import Mapping

from breezeblock import errors
from breezeblock.core.requests import Caller

ADMIN = "admin"
LONGEST_ID = 255
DEFAULT_PROJECT = "default"
UNUSED_TOKEN = "notused"  # noqa: S105 -- what keystoneauth1's plugin "none" sends in the token's place
MEMBER_ROLES = frozenset({"member", "reader"})
ADMIN_ROLES = MEMBER_ROLES | {"admin"}


class NoAuthentication:
    """Believes the token."""

    def caller(self, headers: Mapping[str, str], path_project: str | None) -> Caller:
        """The caller that the token names. Raises Unauthorized for what could be no id of a user or project."""
        token = headers.get("x-auth-token", UNUSED_TOKEN)
        user, _, project = token.partition(":")
        if not user or token == UNUSED_TOKEN:
            user = ADMIN
        project = project or path_project or headers.get("x-project-id") or DEFAULT_PROJECT
        for given in (user, project):
            if len(given) > LONGEST_ID or not given.isprintable() or "/" in given:
                raise errors.Unauthorized(reason="user and project are printable, without '/', and at most 255 characters long.")
        admin = user == ADMIN
        return Caller(
            user_id=user,
            project_id=project,
            roles=ADMIN_ROLES if admin else MEMBER_ROLES,
            is_admin=admin,
        )

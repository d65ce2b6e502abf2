"""Encryption of what may hold secrets at rest: connection information (protocol rule R11). Never logs what it handles."""

import os
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from breezeblock import errors

KEY_FILE: Final = Path("secrets", "attachments.keys")
"""Under the state directory: one key per line, the first one encrypts, all of them decrypt."""


class Secrets:
    """Encrypts JSON values with the deployment's keys."""

    def __init__(self, keys: list[bytes]) -> None:
        self._box = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, value: Any) -> str:
        """``value``, JSON's own types, as text for the database."""
        return self._box.encrypt(orjson.dumps(value)).decode()

    def decrypt(self, text: str) -> Any:
        """What :meth:`encrypt` was given. Raises BadConfiguration when none of the keys made it."""
        try:
            return orjson.loads(self._box.decrypt(text.encode()))
        except InvalidToken:
            raise errors.BadConfiguration(reason=f"no key in {KEY_FILE} decrypts this attachment; every node needs the same file") from None


def open_secrets(state_path: Path) -> Secrets:
    """The keys of a state directory, made at the first use; two processes at the same instant agree on one."""
    path = state_path / KEY_FILE
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_bytes(Fernet.generate_key() + b"\n")
        draft.chmod(0o600)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return Secrets([line for line in path.read_bytes().split() if line])

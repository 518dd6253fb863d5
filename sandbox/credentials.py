"""The sandbox's own credentials, made at first start and kept in one file that only its owner can read."""

import json
import secrets
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from sandbox.pki import write_private

PROXMOX_TOKEN_ID = "root@pam!pulumi"  # noqa: S105 - the name of a token


@dataclass(frozen=True)
class Credentials:
    """What a real lab's operator would hold: API tokens and the passphrase of the stack's secrets."""

    control_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    proxmox_token: str = field(default_factory=lambda: str(uuid.uuid4()), repr=False)
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Read the credentials at ``path``, or make them."""
        if path.exists():
            return cls(**json.loads(path.read_text()))
        made = cls()
        write_private(path, json.dumps(asdict(made), indent=2).encode() + b"\n")
        return made

    @property
    def proxmox_api_token(self) -> str:
        """The token in the form of Proxmox's Authorization header: ``user@realm!name=uuid``."""
        return f"{PROXMOX_TOKEN_ID}={self.proxmox_token}"

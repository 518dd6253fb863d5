"""The sandbox's own credentials, made at first start and kept in one file that only its owner can read."""

import json
import secrets
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from sandbox.pki import write_private

PROXMOX_TOKEN_ID = "homelab@pve!pulumi"  # noqa: S105 - the name of a token
PROXMOX_ADMIN_TOKEN_ID = "root@pam!sandbox"  # noqa: S105 - as above


@dataclass(frozen=True)
class Credentials:
    """What a real lab's operator would hold: API tokens and the passphrase of the stack's secrets."""

    control_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    proxmox_token: str = field(default_factory=lambda: str(uuid.uuid4()), repr=False)
    proxmox_admin: str = field(default_factory=lambda: str(uuid.uuid4()), repr=False)
    pfsense_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    pfsense_admin: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Read the credentials at ``path``; make those that are not there yet."""
        known = json.loads(path.read_text()) if path.exists() else {}
        made = cls(**known)
        if known == asdict(made):
            return made
        write_private(path, json.dumps(asdict(made), indent=2).encode() + b"\n")
        return made

    @property
    def proxmox_api_token(self) -> str:
        """The token in the form of Proxmox's Authorization header: ``user@realm!name=uuid``."""
        return f"{PROXMOX_TOKEN_ID}={self.proxmox_token}"

    @property
    def proxmox_admin_token(self) -> str:
        """A token that may do everything, for whoever plays the operator; the program never has it."""
        return f"{PROXMOX_ADMIN_TOKEN_ID}={self.proxmox_admin}"

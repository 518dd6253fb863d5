"""Secrets that the program makes once and keeps in its state: random tokens and SSH key pairs.

Neither is ever changed in place: what was handed to a machine or a cluster must stay what it was.
"""

import secrets
from typing import Any

import pulumi
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pulumi.dynamic import CreateResult, DiffResult, Resource

from providers.base import Props, Provider, changed, secret_outputs


class TokenProvider(Provider):
    """Make a random token of a given number of bytes, in hexadecimal."""

    def create(self, props: Props) -> CreateResult:
        """Draw the token from the operating system's random source."""
        size = int(props["size"])
        return CreateResult(f"token-{secrets.token_hex(4)}", {"size": size, "value": secrets.token_hex(size)})

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Replace a token only when another size is asked for."""
        replaces = changed(_olds, _news, ["size"])
        return DiffResult(changes=bool(replaces), replaces=replaces)


class GeneratedToken(Resource, module="generated", name="Token"):
    """A random token; `value` is secret."""

    value: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, *, size: int = 32) -> None:
        """Declare a token of `size` random bytes."""
        props: dict[str, Any] = {"size": size, "value": None}
        super().__init__(TokenProvider(), name, props, secret_outputs(opts, ["value"]))


class SshKeyProvider(Provider):
    """Make an Ed25519 key pair in OpenSSH's formats."""

    def create(self, props: Props) -> CreateResult:
        """Generate the pair; the private key has no passphrase, since the state encrypts it."""
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        comment = str(props["comment"])
        outs = {"comment": comment, "private_key": private, "public_key": f"{public} {comment}"}
        return CreateResult(f"ssh-key-{secrets.token_hex(4)}", outs)

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Never replace a key: a new one would lock the program out of every machine."""
        return DiffResult(changes=False)


class SshKey(Resource, module="generated", name="SshKey"):
    """An SSH key pair whose comment is the resource's name; `private_key` is secret."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare a key pair."""
        props: dict[str, Any] = {"comment": name, "private_key": None, "public_key": None}
        super().__init__(SshKeyProvider(), name, props, secret_outputs(opts, ["private_key"]))

"""What an operator should know when Pulumi fails in one of the ways that are known: the cause, and the next command."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Hint:
    """A cause in plain words, and the command to run next."""

    cause: str
    command: str


_KNOWN: Final = (
    (
        r"incorrect passphrase",
        Hint(
            "the passphrase is not the one that this stack's secrets were encrypted with",
            "export PULUMI_CONFIG_PASSPHRASE_FILE=<the right file>",
        ),
    ),
    (
        r"the stack is currently locked|currently locked by",
        Hint("another command works on this stack, or one was killed", "python -m lab unlock --stack {stack}"),
    ),
    (
        r"no stack named",
        Hint("the stack does not exist in this backend yet", "make init STACK={stack}"),
    ),
    (
        r"x509: certificate|certificate signed by unknown authority|tls: failed to verify",
        Hint("a server's certificate is not trusted", "export SSL_CERT_FILE=<the CA's certificate>"),
    ),
    (
        r"no SSH session with|connection refused|no such host|i/o timeout|no route to host|unreachable",
        Hint("something that the program talks to does not answer", "{look}"),
    ),
    (
        r"the configuration of stack \S+ has \d+ fault|Missing required configuration variable",
        Hint("the stack's configuration is not complete", "edit Pulumi.{stack}.yaml"),
    ),
)
_LOOK: Final = {"dev": "python -m sandbox status"}


def hint_for(output: str, stack: str) -> Hint | None:
    """Return the hint for what Pulumi printed, or None when the failure is not a known one."""
    for pattern, hint in _KNOWN:
        if re.search(pattern, output):
            look = _LOOK.get(stack, f"python -m lab preview --stack {stack}")
            return Hint(hint.cause, hint.command.format(stack=stack, look=look))
    return None

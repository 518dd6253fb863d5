"""What an operator is told when Pulumi fails, by the words with which Pulumi fails."""

import pytest

from lab.hints import hint_for

LOCKED = """\
error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file
  file:///home/op/.pulumi/locks/organization/homelab/dev/5c2a.json: created by op@host (pid 4711) at 2025-01-01
"""


@pytest.mark.parametrize(
    ("output", "stack", "cause", "command"),
    [
        (
            "error: getting secrets manager: passphrase must be set or incorrect passphrase",
            "prod",
            "passphrase is not the one",
            "export PULUMI_CONFIG_PASSPHRASE_FILE=<the right file>",
        ),
        (LOCKED, "prod", "another command works on this stack, or one was killed", "lab unlock --stack prod"),
        ("error: no stack named 'prod' found", "prod", "does not exist", "make init STACK=prod"),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "dev",
            "certificate is not trusted",
            "export SSL_CERT_FILE=",
        ),
        ("dial tcp 127.10.0.2:8006: connect: connection refused", "dev", "not answer", "python -m sandbox status"),
        ("server-2: no SSH session with lab@127.10.0.12:2222", "dev", "not answer", "python -m sandbox status"),
        ("dial tcp: lookup pve1.lab: no such host", "prod", "not answer", "python -m lab preview --stack prod"),
        ("read tcp 10.0.0.1:443: i/o timeout", "prod", "not answer", "python -m lab preview --stack prod"),
        ("connect: no route to host", "prod", "not answer", "python -m lab preview --stack prod"),
        (
            "Missing required configuration variable 'homelab:lab'",
            "prod",
            "configuration is not complete",
            "edit Pulumi.prod.yaml",
        ),
        (
            "the configuration of stack prod has 2 faults:",
            "prod",
            "configuration is not complete",
            "edit Pulumi.prod.yaml",
        ),
    ],
)
def test_a_known_failure_has_a_cause_and_a_command(output: str, stack: str, cause: str, command: str) -> None:
    hint = hint_for(f"Updating ({stack}):\n{output}\n", stack)
    assert hint is not None
    assert cause in hint.cause
    assert command in hint.command
    assert "{" not in hint.command


@pytest.mark.parametrize(
    "output",
    ["", "error: Duplicate resource URN", "Resources:\n    30 unchanged\n", "warning: the passphrase file is old"],
)
def test_what_is_not_known_gets_no_guess(output: str) -> None:
    assert hint_for(output, "dev") is None


def test_a_lock_is_the_cause_even_when_a_refused_connection_is_printed_too() -> None:
    hint = hint_for(LOCKED + "warning: dial tcp: connection refused", "dev")
    assert hint is not None
    assert "unlock" in hint.command

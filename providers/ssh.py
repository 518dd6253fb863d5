"""A session on one machine over SSH: key authentication only, the host key pinned, one argv for each command.

It knows nothing of K3s. It neither reads ~/.ssh nor talks to an agent, so that a run depends on the state alone.
"""

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncssh
import pulumi

from providers.base import ProviderError

CONNECT_TIMEOUT = 10.0
RETRY_PAUSE = 2.0
PROGRESS_EVERY = 15.0
# sshd may answer before cloud-init has written the account's key; past this, a refusal is no matter of time.
REFUSAL_PATIENCE = 60.0
SHOWN_STDERR = 2000


class RemoteError(ProviderError):
    """Something went wrong on the way to a machine or on it."""


class UnreachableError(RemoteError):
    """No session could be opened in the time allowed, or it broke."""


class HostKeyError(RemoteError):
    """The machine showed another host key than the one that was pinned."""


class CommandError(RemoteError):
    """A command ended with a status other than 0."""


@dataclass(frozen=True)
class Machine:
    """Where a machine is and how to be let in. `host_key` is empty until the first contact."""

    name: str
    address: str
    port: int
    user: str
    private_key: str = field(repr=False)
    host_key: str = ""

    @property
    def shell(self) -> str:
        """The command by which an operator looks for himself."""
        return f"ssh -p {self.port} {self.user}@{self.address}"


@dataclass(frozen=True)
class Completed:
    """What a command answered."""

    status: int
    stdout: str
    stderr: str


class Session:
    """An open connection to a machine."""

    def __init__(self, machine: Machine, connection: asyncssh.SSHClientConnection) -> None:
        """Wrap an authenticated connection."""
        self.machine = machine
        self._connection = connection
        key = connection.get_server_host_key()
        exported = key.export_public_key("openssh").decode() if key else ""
        # Without the comment, which is not part of the identity.
        self.host_key = " ".join(exported.split()[:2])

    async def run(self, *argv: str, stdin: str = "", check: bool = True, timeout: float = 120.0) -> Completed:  # noqa: ASYNC109 - the bound belongs to the command, and the error names it
        """Run one command without a shell's syntax; input goes through stdin and appears in no message."""
        command = shlex.join(argv)
        try:
            # Without input the command must read an end of file, not wait for one.
            feed = {"input": stdin} if stdin else {"stdin": asyncssh.DEVNULL}
            done = await self._connection.run(command, check=False, timeout=timeout, errors="replace", **feed)
        except asyncssh.TimeoutError as error:
            message = (
                f"{self.machine.name}: `{command}` did not end within {timeout:.0f} s. Look with: {self.machine.shell}"
            )
            raise CommandError(message) from error
        except (OSError, asyncssh.Error) as error:
            message = f"{self.machine.name}: the connection broke during `{command}`: {error}. Run again."
            raise UnreachableError(message) from error
        result = Completed(_status(done), _text(done.stdout), _text(done.stderr))
        if check and result.status != 0:
            raise CommandError(failure(self.machine, command, result))
        return result


def failure(machine: Machine, command: str, result: Completed) -> str:
    """Say which command failed where, with what the machine said and where to look next."""
    said = result.stderr.strip()[-SHOWN_STDERR:] or "it wrote nothing to stderr"
    return f"{machine.name}: `{command}` ended with status {result.status}: {said}\nLook with: {machine.shell}"


@asynccontextmanager
async def connect(machine: Machine, *, patience: float) -> AsyncIterator[Session]:
    """Open a session, retrying for `patience` seconds (0: one attempt) while the machine is still coming up."""
    connection = await _retry(machine, patience)
    async with connection:
        yield Session(machine, connection)


async def _retry(machine: Machine, patience: float) -> asyncssh.SSHClientConnection:
    loop = asyncio.get_running_loop()
    start = loop.time()
    next_progress = start
    while True:
        try:
            return await _attempt(machine)
        except asyncssh.PermissionDenied as error:
            cause, limit = (
                f"it refused the key for user {machine.user} ({error.reason})",
                min(patience, REFUSAL_PATIENCE),
            )
        except (OSError, asyncssh.Error) as error:
            cause, limit = str(error) or type(error).__name__, patience
        waited = loop.time() - start
        if waited >= limit:
            message = (
                f"{machine.name}: no SSH session with {machine.user}@{machine.address}:{machine.port} in "
                f"{waited:.0f} s: {cause}. See that the machine runs and has this address, try `{machine.shell}`, "
                "then run again."
            )
            raise UnreachableError(message)
        if loop.time() >= next_progress:
            pulumi.log.info(f"{machine.name}: waiting for SSH at {machine.address}:{machine.port}: {cause}")
            next_progress = loop.time() + PROGRESS_EVERY
        await asyncio.sleep(min(RETRY_PAUSE, max(limit - waited, 0.05)))


async def _attempt(machine: Machine) -> asyncssh.SSHClientConnection:
    try:
        key = asyncssh.import_private_key(machine.private_key)
        pinned = asyncssh.import_public_key(machine.host_key) if machine.host_key else None
    except asyncssh.KeyImportError as error:
        message = f"{machine.name}: its SSH key or pinned host key cannot be read from the state: {error}"
        raise RemoteError(message) from error
    try:
        return await asyncssh.connect(
            machine.address,
            machine.port,
            username=machine.user,
            client_keys=[key],
            known_hosts=([pinned], [], []) if pinned else None,
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            connect_timeout=CONNECT_TIMEOUT,
            login_timeout=CONNECT_TIMEOUT,
            keepalive_interval=15,
        )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        if pinned is None:
            raise
        message = (
            f"{machine.name}: the machine at {machine.address}:{machine.port} does not show the host key pinned "
            f"at first contact ({error.reason}). If it was made anew, replace the node: "
            f"`python -m lab up --stack <stack> -- --replace '**Node::{machine.name}'`; if it was not, someone else "
            "answers there."
        )
        raise HostKeyError(message) from error


def _status(done: asyncssh.SSHCompletedProcess) -> int:
    return done.returncode if done.returncode is not None else -1


def _text(data: object) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else str(data or "")

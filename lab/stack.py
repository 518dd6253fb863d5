"""A stack of the program and the environment that Pulumi needs for it."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from config.secrets import PFSENSE_API_KEY, PROXMOX_API_TOKEN, SecretKey
from lab.hints import Hint, hint_for
from sandbox.children import end_with_parent
from sandbox.credentials import Credentials
from sandbox.pki import write_private
from sandbox.settings import DEFAULT_NETWORK, REPOSITORY, Settings
from toolchain import Toolchain

PROJECT: Final = "homelab"
SANDBOX_STACK: Final = "dev"
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class StackError(RuntimeError):
    """Pulumi failed or cannot be run; `hint` says what to do when that is known, `said` is what was passed on."""

    def __init__(self, message: str, hint: Hint | None = None, said: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.said = said


@dataclass(frozen=True)
class Stack:
    """A stack by name, with the whole environment for Pulumi and the arguments that each command on it needs."""

    name: str
    environment: Mapping[str, str] = field(repr=False)
    config_file: Path

    def stream(self, *arguments: str) -> None:
        """Run a Pulumi command and pass its output on as it comes.

        Raises:
            StackError: it fails; what is known of the cause comes as a hint.
        """
        colour = "always" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "never"
        command = self._command(*arguments, "--config-file", str(self.config_file), "--color", colour)
        lines: list[str] = []
        with subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Of its own group: an interrupt from the terminal comes through here, once. The second one would make
            # Pulumi drop what it is doing; the first lets it finish what has begun, and save.
            process_group=0,
            preexec_fn=partial(end_with_parent, signal.SIGINT),  # noqa: PLW1509 - there are no threads
        ) as process:
            while True:
                try:
                    for line in process.stdout or ():
                        sys.stdout.write(line)
                        sys.stdout.flush()
                        lines.append(line)
                    break
                except KeyboardInterrupt:
                    process.send_signal(signal.SIGINT)
        if process.returncode:
            said = COLOUR.sub("", "".join(lines))
            raise StackError(f"pulumi {arguments[0]} failed on stack {self.name}", hint_for(said, self.name), said)

    def read(
        self, *arguments: str, stdin: str | None = None, folder: Path = REPOSITORY, stackless: bool = False
    ) -> str:
        """Run a Pulumi command, on the stack unless it is about all of them, and return what it prints.

        Raises:
            StackError: it fails; the message has what it said.
        """
        done = subprocess.run(
            self._command(*arguments, stackless=stackless),
            cwd=folder,
            env=self._environment,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise StackError(f"pulumi {shlex.join(arguments[:2])}: {said}", hint_for(said, self.name))
        return done.stdout

    @property
    def mark(self) -> str:
        """What the processes of a command carry as HOMELAB_COMMAND, to be known when the command is gone."""
        return f"{self.environment['PULUMI_BACKEND_URL']}#{self.name}"

    @property
    def _environment(self) -> dict[str, str]:
        return {**self.environment, "HOMELAB_COMMAND": self.mark}

    def _command(self, *arguments: str, stackless: bool = False) -> list[str]:
        chosen = [] if stackless else ["--stack", self.name]
        return ["pulumi", *arguments, *chosen, "--non-interactive"]


def environment(tools: Toolchain, extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with the toolchain first on PATH, and ``extra``."""
    entries = [str(path) for path in (*tools.path_entries(), Path(sys.executable).parent)]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*entries, os.environ.get("PATH", os.defpath)]),
        "PULUMI_HOME": str(tools.pulumi_home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "HOMELAB_VIRTUALENV": str(Path(sys.prefix)),
        **extra,
    }


def local_backend(folder: Path) -> str:
    """Return the URL of a backend in ``folder``.

    Without ``metadata=skip`` each state file has a second one beside it that is not written atomically: a Pulumi that
    is killed may leave it empty, and then nothing can read the state (gocloud.dev/blob/fileblob, setAttrs).
    """
    return f"file://{folder}?metadata=skip"


def sandbox_stack(tools: Toolchain, settings: Settings) -> Stack:
    """Return the stack that lives in the sandbox of ``settings``, made when it does not exist yet.

    Its configuration is Pulumi.dev.yaml, moved to the sandbox's network, with the sandbox's credentials added as
    secrets. The copy is kept in the sandbox, so that no salt and no secret ever gets into the repository.

    Raises:
        StackError: Pulumi refuses, for instance because the passphrase is not the stack's.
    """
    credentials = Credentials.at(settings.credentials)
    passphrase = settings.root / "passphrase"
    if not passphrase.exists():
        write_private(passphrase, credentials.passphrase.encode())
    folder = settings.root / "stack"
    config_file = folder / f"Pulumi.{SANDBOX_STACK}.yaml"
    backend = settings.root / "state"
    backend.mkdir(mode=0o700, exist_ok=True)
    variables = environment(
        tools,
        {
            "PULUMI_BACKEND_URL": local_backend(backend),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
            "PULUMI_OPTION_CONFIG_FILE": str(config_file),
            "SSL_CERT_FILE": str(settings.authority),
        },
    )
    variables.pop("PULUMI_CONFIG_PASSPHRASE", None)
    stack = Stack(SANDBOX_STACK, variables, config_file)
    _write_configuration(config_file, settings)
    if not (backend / ".pulumi" / "stacks" / PROJECT / f"{SANDBOX_STACK}.json").exists():
        stack.read("stack", "init", "--no-select", folder=folder)
    for key, value in (
        (PROXMOX_API_TOKEN, credentials.proxmox_api_token),
        (PFSENSE_API_KEY, credentials.pfsense_key),
    ):
        if key.name not in config_file.read_text():
            set_secret(stack, key, value)
    return stack


def set_secret(stack: Stack, key: SecretKey, value: str) -> None:
    """Keep a secret in the stack's file, encrypted; its value passes through standard input only.

    Raises:
        StackError: Pulumi refuses.
    """
    name = f"{PROJECT}:{key.name}"
    stack.read("config", "set", "--secret", name, stdin=value, folder=stack.config_file.parent)


def _write_configuration(config_file: Path, settings: Settings) -> None:
    """Bring the copy up to date, keeping what only it has: the salt and the encrypted values."""
    text = (REPOSITORY / f"Pulumi.{SANDBOX_STACK}.yaml").read_text()
    wanted: dict[str, Any] = yaml.safe_load(text.replace(f"{DEFAULT_NETWORK}.", f"{settings.network}."))
    if config_file.exists():
        known = yaml.safe_load(config_file.read_text()) or {}
        secure = {k: v for k, v in known.get("config", {}).items() if isinstance(v, dict) and "secure" in v}
        wanted["config"] |= secure
        wanted |= {k: v for k, v in known.items() if k != "config"}
    config_file.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(config_file.parent / "Pulumi.yaml", (REPOSITORY / "Pulumi.yaml").read_bytes())
    write_private(config_file, yaml.safe_dump(wanted, sort_keys=False).encode())


def real_stack(tools: Toolchain, name: str, folder: Path = REPOSITORY) -> Stack:
    """Return the stack called ``name`` of a real lab, with the operator's own backend and passphrase.

    ``folder`` has its configuration.

    Raises:
        StackError: there is no configuration for it, or no passphrase is given.
    """
    config_file = folder / f"Pulumi.{name}.yaml"
    if not config_file.exists():
        known = ", ".join(stack_names(folder))
        raise StackError(f"there is no {config_file.name}; stacks with a configuration: {known}")
    if not os.environ.keys() & {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}:
        raise StackError(
            f"no passphrase for the secrets of stack {name}",
            Hint(
                "neither PULUMI_CONFIG_PASSPHRASE_FILE nor PULUMI_CONFIG_PASSPHRASE is set",
                "export PULUMI_CONFIG_PASSPHRASE_FILE=<file>; docs/real-lab.md has the commands that make one",
            ),
        )
    # Pulumi's own default for a local backend, unless the operator has chosen another one.
    backend = os.environ.get("PULUMI_BACKEND_URL", local_backend(Path.home()))
    return Stack(name, environment(tools, {"PULUMI_BACKEND_URL": backend}), config_file)


def stack_names(folder: Path) -> Iterator[str]:
    """Yield the stacks that have a configuration in ``folder``."""
    return (path.name.split(".")[1] for path in sorted(folder.glob("Pulumi.*.yaml")))


def exports(variables: Mapping[str, str], names: Sequence[str]) -> str:
    """Return shell lines that export ``names`` of ``variables``."""
    return "\n".join(f"export {name}={shlex.quote(variables[name])}" for name in names if name in variables)

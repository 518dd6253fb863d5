"""Make a stack of a real lab ready: it is there in the backend, and its secrets are in its file, encrypted."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from config.secrets import SECRETS, SecretKey
from lab.configuration import stack_config
from lab.stack import PROJECT, Stack, StackError, set_secret

OWNER_ONLY = 0o077
Ask = Callable[[SecretKey], str]


@dataclass(frozen=True)
class Outcome:
    """Which secrets were set, which were there already, and which nobody has given."""

    made: bool
    set: tuple[str, ...]
    kept: tuple[str, ...]
    missing: tuple[SecretKey, ...]


def variable(key: SecretKey) -> str:
    """Return the environment variable that a secret may come in, such as HOMELAB_PROXMOX_API_TOKEN."""
    words = re.sub(r"([A-Z])", r"_\1", key.name)
    return f"HOMELAB_{words.upper()}"


def initialise(
    stack: Stack,
    *,
    given: Mapping[str, str],
    ask: Ask | None,
    replace: bool,
    environment: Mapping[str, str] = os.environ,
) -> Outcome:
    """Make the stack if it is not there, and set the secrets that its lab needs.

    A secret comes from the environment, else from ``given``, else from ``ask`` if somebody is there to be asked. What
    is set already stays, unless it is to be replaced.

    Raises:
        StackError: a value has the wrong form, or Pulumi refuses.
    """
    folder = stack.config_file.parent
    made = _make(stack)
    written = stack_config(stack.name, folder)
    data = written.get(f"{PROJECT}:lab")
    kept, done, missing = [], [], []
    for key in SECRETS:
        if not key.needed_by_data(data if isinstance(data, Mapping) else {}):
            continue
        if f"{PROJECT}:{key.name}" in written and not replace:
            kept.append(key.name)
            continue
        value = environment.get(variable(key)) or given.get(key.name) or (ask(key) if ask else "")
        if not value:
            missing.append(key)
            continue
        if not key.form.fullmatch(value):
            raise StackError(f"{key.name} is not of the form: {key.shape}; it was not set")
        set_secret(stack, key, value)
        done.append(key.name)
    return Outcome(made, tuple(done), tuple(kept), tuple(missing))


def _make(stack: Stack) -> bool:
    folder = stack.config_file.parent
    known = json.loads(stack.read("stack", "ls", "--json", stackless=True, folder=folder))
    if any(one["name"].rpartition("/")[2] == stack.name for one in known):
        return False
    stack.read("stack", "init", "--no-select", folder=folder)
    return True


def read_secrets(path: Path) -> dict[str, str]:
    """Return the secrets in a YAML file by their keys.

    Raises:
        StackError: others may read the file too, or it is no mapping of text.
    """
    try:
        mode = path.stat().st_mode
        read = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise StackError(f"{path} cannot be read: {type(error).__name__}") from error
    if mode & OWNER_ONLY:
        raise StackError(f"{path} can be read by others than its owner; no secret was taken from it: chmod 600 {path}")
    names = {key.name for key in SECRETS}
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise StackError(f"{path} is no mapping of {', '.join(sorted(names))} to text")
    if unknown := sorted(set(read) - names):
        raise StackError(f"{path} has {', '.join(unknown)}, which no lab has; known are {', '.join(sorted(names))}")
    return read

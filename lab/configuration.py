"""The stack's file as it lies in the repository, for what is to be known of a lab without Pulumi."""

from pathlib import Path
from typing import Any

import yaml

from lab.stack import StackError, stack_names
from sandbox.settings import REPOSITORY


def stack_config(name: str, folder: Path = REPOSITORY) -> dict[str, Any]:
    """Return the ``config`` section of Pulumi.<name>.yaml.

    Raises:
        StackError: there is no such file, or it is no YAML.
    """
    file = folder / f"Pulumi.{name}.yaml"
    try:
        read = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        known = ", ".join(stack_names(folder))
        raise StackError(f"there is no {file.name}; stacks with a configuration: {known}") from None
    except yaml.YAMLError as error:
        raise StackError(f"{file.name} is no YAML: {error}") from None
    config = read.get("config") if isinstance(read, dict) else None
    return config if isinstance(config, dict) else {}


def lab_data(name: str, folder: Path = REPOSITORY) -> object:
    """Return what Pulumi.<name>.yaml says about the lab, as `config.rules.read_lab` takes it.

    Raises:
        StackError: as above.
    """
    return stack_config(name, folder).get("homelab:lab")

"""The only reader of `pulumi.Config`: the lab as data and its secrets as outputs, or one error with every fault."""

import re
from dataclasses import dataclass

import pulumi

from config.model import Lab
from config.rules import Fault, LabError, read_lab

TOKEN_KEY = "proxmoxApiToken"  # noqa: S105 - the key's name, not its value
TOKEN_FORM = re.compile(r"^[^\s@!=]+@[^\s@!=]+![^\s@!=]+=[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


@dataclass(frozen=True)
class Secrets:
    """What the operator must keep to himself; never part of the model."""

    proxmox_api_token: pulumi.Output[str]


def load() -> tuple[Lab, Secrets]:
    """Return the stack's lab and secrets; refuse anything wrong before the first resource is made."""
    config = pulumi.Config()
    faults = list(_token_faults(config))
    lab: Lab | None = None
    try:
        lab = read_lab(config.get_object("lab"))
    except LabError as error:
        faults += error.faults
    except pulumi.ConfigTypeError:
        faults.append(Fault("lab", None, "is not structured data", "write it as a YAML mapping under homelab:lab"))
    if lab is None or faults:
        raise pulumi.RunError(_report(faults))
    return lab, Secrets(proxmox_api_token=config.require_secret(TOKEN_KEY))


def _token_faults(config: pulumi.Config) -> list[Fault]:
    token = config.get(TOKEN_KEY)
    fix = f"pulumi config set --stack {pulumi.get_stack()} --secret {TOKEN_KEY}, then type user@realm!name=uuid"
    if not token:
        return [Fault(TOKEN_KEY, None, "is missing", fix)]
    if not TOKEN_FORM.match(token):
        # The value is a secret even when it is malformed, so it is not shown.
        return [Fault(TOKEN_KEY, None, "is not of the form user@realm!name=uuid", fix)]
    return []


def _report(faults: list[Fault]) -> str:
    stack = pulumi.get_stack()
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    lines = "\n".join(f"  - {fault}" for fault in faults)
    head = f"the configuration of stack {stack} has {count}; nothing was changed:"
    return f"{head}\n{lines}\nEdit Pulumi.{stack}.yaml and run again."

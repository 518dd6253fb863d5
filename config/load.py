"""The only reader of `pulumi.Config`: the lab as data and its secrets as outputs, or one error with every fault."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from config import versions
from config.faults import Fault, LabError
from config.growth import growth_faults
from config.model import Lab
from config.rules import read_lab
from config.secrets import CLOUDFLARE_API_TOKEN, PFSENSE_API_KEY, PROXMOX_API_TOKEN, SECRETS, SecretKey
from config.skew import skew_faults


@dataclass(frozen=True)
class Secrets:
    """What the operator must keep to himself; never part of the model. None is a secret that the lab has no use for."""

    proxmox_api_token: pulumi.Output[str]
    pfsense_api_key: pulumi.Output[str] | None
    cloudflare_api_token: pulumi.Output[str] | None


def load() -> tuple[Lab, Secrets]:
    """Return the stack's lab and secrets; refuse anything wrong before the first resource is made.

    Raises:
        pulumi.RunError: the configuration has faults, or asks for a step that the last `up` is not ready for.
    """
    config = pulumi.Config()
    lab: Lab | None = None
    faults: list[Fault] = []
    try:
        lab = read_lab(config.get_object("lab"))
    except LabError as error:
        faults += error.faults
    except pulumi.ConfigTypeError:
        faults.append(Fault("lab", None, "is not structured data", "write it as a YAML mapping under homelab:lab"))
    faults += _secret_faults(config, lab)
    if lab is not None:
        last = _last_outputs()
        faults += skew_faults(_texts(last.get("versions")), installed(lab))
        faults += growth_faults(last.get("machines") or {}, lab)
    if lab is None or faults:
        raise pulumi.RunError(_report(faults))
    return lab, Secrets(
        proxmox_api_token=config.require_secret(PROXMOX_API_TOKEN.name),
        pfsense_api_key=config.get_secret(PFSENSE_API_KEY.name),
        cloudflare_api_token=config.get_secret(CLOUDFLARE_API_TOKEN.name),
    )


def installed(lab: Lab) -> Mapping[str, str]:
    """Return the versions of what the program installs, by part: an output of the stack, read again by the next run."""
    return {"argocd": versions.ARGOCD, "k3s": lab.kubernetes.version}


def _last_outputs() -> Mapping[str, Any]:
    """Return the stack's outputs at the end of the last `up`; nothing if there was none.

    The engine's own provider answers, from the stack's state: no other one is started for it.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name}).value or {}
    outputs: Mapping[str, Any] = answer.get("outputs") or {}
    return outputs


def _texts(output: Mapping[str, Any] | None) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in (output or {}).items()}


def _secret_faults(config: pulumi.Config, lab: Lab | None) -> Iterator[Fault]:
    """Check the secrets of ``lab``; of one that is not known, what every lab needs."""
    for key in SECRETS:
        needed = key.needed(lab) if lab else key is PROXMOX_API_TOKEN
        if needed:
            yield from _secret_fault(config, key)


def _secret_fault(config: pulumi.Config, key: SecretKey) -> Iterator[Fault]:
    value = config.get(key.name)
    fix = f"make init STACK={pulumi.get_stack()}, which asks for {key.what}"
    if not value:
        yield Fault(key.name, None, "is missing", fix)
    elif not key.form.fullmatch(value):
        # The value is a secret even when it is malformed, so it is not shown.
        yield Fault(key.name, None, f"is not of the form: {key.shape}", fix)


def _report(faults: list[Fault]) -> str:
    stack = pulumi.get_stack()
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    lines = "\n".join(f"  - {fault}" for fault in faults)
    head = f"the configuration of stack {stack} has {count}; nothing was changed:"
    return f"{head}\n{lines}\nEdit Pulumi.{stack}.yaml and run again."

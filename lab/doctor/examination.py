"""Go through all areas: first what lies on this computer, then, as far as that reaches, everything it talks to."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from config.model import Lab
from config.secrets import CLOUDFLARE_API_TOKEN, PFSENSE_API_KEY, PROXMOX_API_TOKEN, SecretKey
from lab.configuration import stack_config
from lab.doctor import cloudflare, network, nodes, pfsense, proxmox
from lab.doctor.finding import Area, Finding
from lab.doctor.reach import Reach
from lab.doctor.stack import CONFIGURATION, EVERYTHING, STACK, configuration, secrets, tools
from lab.stack import SANDBOX_STACK, Stack, StackError, real_stack, sandbox_stack
from sandbox import lifecycle
from sandbox.settings import Settings
from toolchain import Toolchain
from toolchain.cache import Cache


def examine(name: str) -> list[Finding]:
    """Return how the stack ``name`` stands; takes some seconds, changes nothing."""
    toolchain, findings = tools(Cache.default())
    stack, opened = _open(name, toolchain)
    findings += opened
    try:
        written = stack_config(name, stack.config_file.parent) if stack else stack_config(name)
    except StackError as error:
        return [*findings, CONFIGURATION.wrong("file", str(error), "copy Pulumi.prod.yaml and edit it")]
    lab, described = configuration(written.get("homelab:lab"))
    findings += described
    values: dict[SecretKey, str] = {}
    if stack:
        values, kept = secrets(stack, lab, written)
        findings += kept
    if lab is None:
        return [*findings, STACK.skipped("everything else", "nothing is asked until the configuration is right")]
    return [*findings, *asyncio.run(_reach_out(lab, stack, values))]


def _open(name: str, toolchain: Toolchain | None) -> tuple[Stack | None, list[Finding]]:
    if toolchain is None:
        return None, [STACK.skipped("backend and secrets", "Pulumi is not there yet", EVERYTHING)]
    if name != SANDBOX_STACK:
        try:
            return real_stack(toolchain, name), []
        except StackError as error:
            step = error.hint.command if error.hint else "copy Pulumi.prod.yaml and edit it"
            return None, [STACK.wrong("passphrase", str(error), step)]
    settings = Settings.from_environment()
    if not lifecycle.running_pid(settings):
        return None, [STACK.wrong("sandbox", "is not running", "python -m sandbox up")]
    return sandbox_stack(toolchain, settings), []


async def _reach_out(lab: Lab, stack: Stack | None, values: Mapping[SecretKey, str]) -> list[Finding]:
    if stack is None:
        return [STACK.skipped("everything else", "nothing is asked without a stack")]
    reach = Reach(stack.environment.get("SSL_CERT_FILE"))
    work: list[Coroutine[Any, Any, list[Finding]]] = []
    skipped: list[Finding] = []

    def plan(area: Area, key: SecretKey, examination: Coroutine[Any, Any, list[Finding]]) -> None:
        if key in values:
            work.append(examination)
        else:
            examination.close()
            skipped.append(area.skipped("everything", f"{key.name} is not there"))

    plan(proxmox.AREA, PROXMOX_API_TOKEN, proxmox.examine(lab, values.get(PROXMOX_API_TOKEN, ""), reach))
    if lab.firewall:
        key = values.get(PFSENSE_API_KEY, "")
        plan(pfsense.AREA, PFSENSE_API_KEY, pfsense.examine(lab.firewall.endpoint, key, reach))
    if lab.edge:
        token = values.get(CLOUDFLARE_API_TOKEN, "")
        plan(cloudflare.AREA, CLOUDFLARE_API_TOKEN, cloudflare.examine(lab.edge, lab.domain, token, reach))
    work += [network.examine(lab, reach), nodes.examine(stack)]
    return [*skipped, *(finding for part in await asyncio.gather(*work) for finding in part)]

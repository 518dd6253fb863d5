"""Log in to the nodes that exist, with the key that the stack's state keeps and the host keys that it has pinned."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from lab.doctor.finding import Area, Finding
from lab.stack import Stack, StackError
from providers.ssh import Machine, RemoteError, connect

AREA = Area("SSH")
NODE = "pulumi-python:dynamic/k3s:Node"
KEY = "pulumi-python:dynamic/generated:SshKey"


async def examine(stack: Stack) -> list[Finding]:
    """Return which nodes of the state let the program in."""
    try:
        exported = json.loads(stack.read("stack", "export", "--show-secrets"))
    except StackError:
        return [AREA.skipped("key", "is made by the first up, and kept in the state")]
    resources = exported["deployment"].get("resources") or ()
    key = next((_plain(one["outputs"]["private_key"]) for one in resources if one["type"] == KEY), None)
    nodes = [one["outputs"] for one in resources if one["type"] == NODE]
    if key is None or not nodes:
        return [AREA.skipped("key", "is made by the first up, and kept in the state")]
    return list(await asyncio.gather(*(_node(outputs, key) for outputs in nodes)))


async def _node(outputs: Mapping[str, Any], key: str) -> Finding:
    known = {name: _plain(outputs[name]) for name in ("name", "address", "port", "user", "host_key")}
    machine = Machine(**{**known, "port": int(known["port"])}, private_key=key)
    try:
        async with connect(machine, patience=0):
            return AREA.ok(machine.name, f"{machine.user}@{machine.address}")
    except RemoteError as error:
        step = "see that it runs in Proxmox; make up puts a node right that has changed"
        return AREA.wrong(machine.name, str(error).partition(". ")[0], step)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of the state
    """Return a value of the state without its mark of secrecy."""
    return json.loads(value["plaintext"]) if isinstance(value, dict) and "plaintext" in value else value

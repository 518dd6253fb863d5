"""Where Pulumi's state and Proxmox disagree in ways that the provider cannot mend, and what is done about each.

It notes a change that was refused as made. It takes a backup job that somebody deleted for a fault. And what it made
and could not note, because the answer was lost or the run was killed, it refuses to make again.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab.stack import Stack, StackError

PROXMOX: Final = "proxmoxve:"
BACKUP_JOB: Final = "proxmoxve:backup/job:Job"
MACHINE: Final = "proxmoxve:index/vmLegacy:VmLegacy"
RULES: Final = "proxmoxve:firewall/rulesLegacy:RulesLegacy"
PARENT: Final = "homelab:safeguards:Safeguards"
PROVIDER: Final = "pulumi:providers:proxmoxve"
# How Proxmox says that something is there, by the type that it refuses to make again; each names it by its id.
_THERE: Final = {
    BACKUP_JOB: r"Job '(\S+)' already exists",
    "proxmoxve:index/haresource:Haresource": r"resource ID '(vm:\d+)' already defined",
    "proxmoxve:index/harule:Harule": r"HA rule '(\S+)' already defined",
    RULES: r"Existing rules detected()",
}
# "  proxmoxve:backup:Job (safeguards-backups):" above the lines of what went wrong with it.
_DIAGNOSTIC: Final = re.compile(r"^  proxmoxve:(\w+):(\w+) \((\S+)\):\n((?:(?!^  \S|^\S).*\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """An object that is there: what the program calls it, and what Proxmox does."""

    type: str
    name: str
    id: str


def read_targets(stack: Stack, urns: Sequence[str]) -> None:
    """Read some resources of the state again.

    Raises:
        StackError: Pulumi refuses.
    """
    targets = [argument for urn in urns for argument in ("--target", urn)]
    stack.read("refresh", "--yes", "--skip-preview", "--config-file", str(stack.config_file), *targets)


def read_again(stack: Stack) -> list[str]:
    """Read what Proxmox has, if the last command on the stack failed; return a line for what was done.

    Raises:
        StackError: Pulumi refuses.
    """
    last = json.loads(stack.read("stack", "history", "--json", "--page-size", "1"))
    if not last or last[0]["result"] == "succeeded":
        return []
    known = [resource["urn"] for resource in _resources(stack) if resource["type"].startswith(PROXMOX)]
    if not known:
        return []
    try:
        read_targets(stack, known)
    except StackError as error:
        if not (lines := mend(stack, str(error))):
            raise
        return lines
    return ["the last command failed: what Proxmox has was read again"]


def mend(stack: Stack, said: str) -> list[str]:
    """Bring the state in line with Proxmox as far as Pulumi has ``said`` how; return a line for each object.

    Raises:
        StackError: Pulumi refuses.
    """
    resources = _resources(stack)
    return [*_forget_deleted(stack, resources, said), *_adopt(stack, resources, said)]


def _forget_deleted(stack: Stack, resources: list[dict[str, Any]], said: str) -> Iterator[str]:
    """Drop the backup job if it is gone: Proxmox answers 400 and not 404."""
    if "No such job" not in said or "Unable to Read Backup Job" not in said:
        return
    for resource in resources:
        if resource["type"] == BACKUP_JOB:
            stack.read("state", "delete", resource["urn"], "--yes")
            yield f"{_short(resource['urn'])}: somebody deleted it; it is made again"


def _adopt(stack: Stack, resources: list[dict[str, Any]], said: str) -> Iterator[str]:
    """Take into the state what was refused because it is there; its next update makes it what the lab wants."""
    found = list(_found(resources, said))
    if not found:
        return
    table = {name: _only(resources, kind) for name, kind in (("parent", PARENT), ("provider", PROVIDER))}
    wanted = [{"type": one.type, "name": one.name, "id": one.id, **{name: name for name in table}} for one in found]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "import.json"
        file.write_text(json.dumps({"nameTable": table, "resources": wanted}))
        options = ("--generate-code=false", "--protect=false", "--skip-preview", "--yes")
        stack.read("import", "--file", str(file), "--config-file", str(stack.config_file), *options)
    for one in found:
        yield f"{one.name}: is there from an earlier run; it is taken over"


def _found(resources: list[dict[str, Any]], said: str) -> Iterator[Found]:
    known = {_short(resource["urn"]) for resource in resources}
    for module, kind, name, lines in _DIAGNOSTIC.findall(f"{said}\n"):
        typ = f"proxmoxve:{module}/{kind[0].lower()}{kind[1:]}:{kind}"
        there = re.search(_THERE[typ], lines) if typ in _THERE else None
        if there and name not in known:
            yield Found(typ, name, there[1] or _place_of_rules(resources, name))


def _place_of_rules(resources: list[dict[str, Any]], name: str) -> str:
    """Return what the provider calls the rules of one machine, of whose node they have the name at the end."""
    machines = (resource for resource in resources if resource["type"] == MACHINE)
    machine = next(one for one in machines if name.endswith(f"-{_short(one['urn'])}"))
    return f"vm/{machine['inputs']['nodeName']}/{machine['id']}"


def _only(resources: list[dict[str, Any]], typ: str) -> str:
    (urn,) = [resource["urn"] for resource in resources if resource["type"] == typ]
    return str(urn)


def _short(urn: str) -> str:
    return urn.rpartition("::")[2]


def _resources(stack: Stack) -> list[dict[str, Any]]:
    return list(json.loads(stack.read("stack", "export"))["deployment"].get("resources", ()))

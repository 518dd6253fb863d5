"""What the cluster keeps running: resources of the HA manager, and rules about where they may be (PVE::HA).

Of the manager, this is modelled: it starts and stops what it was told to. Hosts here do not fail, so it moves nothing.
"""

from typing import Final

from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.errors import ApiError, RefusedError
from sandbox.proxmox.power import start, stop
from sandbox.proxmox.schema import Value
from sandbox.proxmox.state import Guest

MANAGER: Final = "root@pam"
_RUNS: Final = {"started": True, "enabled": True, "stopped": False, "disabled": False}


def sid_of(guest: Guest) -> str:
    """Return what the HA manager calls a machine."""
    return f"vm:{guest.vmid}"


def guest_of(datacenter: Datacenter, sid: str) -> Guest:
    """Return the machine of a resource."""
    kind, _, vmid = sid.partition(":")
    guest = datacenter.state.guests.get(int(vmid)) if vmid.isdigit() else None
    if kind != "vm" or guest is None:
        raise RefusedError(f"resource '{sid}' does not exist in cluster")
    return guest


def resource(datacenter: Datacenter, sid: str) -> dict[str, Value]:
    """Return what was asked for a resource."""
    if sid not in datacenter.state.ha_resources:
        raise RefusedError(f"no such resource '{sid}'")
    return datacenter.state.ha_resources[sid]


async def enforce(datacenter: Datacenter, sid: str) -> None:
    """Start or stop a machine as its resource says."""
    guest, wanted = guest_of(datacenter, sid), str(resource(datacenter, sid)["state"])
    runs = _RUNS.get(wanted, guest.running)
    if runs and not guest.running:
        await start(datacenter, guest, MANAGER)
    elif guest.running and not runs:
        await stop(datacenter, guest, "qmshutdown", MANAGER)


def request(datacenter: Datacenter, guest: Guest, state: str) -> None:
    """Note that a machine was asked to start or stop: the manager would undo what it was not told."""
    found = datacenter.state.ha_resources.get(sid_of(guest))
    if found is not None and found["state"] != "ignored":
        found["state"] = state


def drop(datacenter: Datacenter, sid: str) -> None:
    """Take a resource out of the manager's hands, and out of the rules; a rule about nothing goes with it."""
    datacenter.state.ha_resources.pop(sid, None)
    for name, rule in list(datacenter.state.ha_rules.items()):
        left = [one for one in str(rule["resources"]).split(",") if one != sid]
        rule["resources"] = ",".join(left)
        if not left:
            del datacenter.state.ha_rules[name]


def check_rule(datacenter: Datacenter, name: str, rule: dict[str, Value]) -> None:
    """Refuse a rule about resources that are not there, or one that can never hold."""
    named = str(rule["resources"]).split(",")
    if unmanaged := [sid for sid in named if sid not in datacenter.state.ha_resources]:
        raise RefusedError(f"cannot use unmanaged resource(s) {', '.join(unmanaged)}.")
    problem = ""
    if len(named) < 2:  # noqa: PLR2004 - an affinity is between two
        problem = "rule is ineffective as there are less than two resources"
    elif rule["affinity"] == "negative" and len(named) > len(datacenter.hosts):
        problem = "rule defines more resources than available nodes"
    if problem:
        raise ApiError(400, f"Rule '{name}' is invalid.", {"resources": problem})

"""Endpoints of virtual machines."""

import os
import time
from typing import Final

from sandbox.proxmox import availability, changes, guests, permissions, power
from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.disks import volume_of
from sandbox.proxmox.drives import DRIVES
from sandbox.proxmox.errors import ParameterError, RefusedError
from sandbox.proxmox.machine import boot_drive, memory_of
from sandbox.proxmox.options import DNS_NAME, OPTIONS, POOL_ID, SECRET, STORAGE_ID, VM_ID, refuse_not_modelled
from sandbox.proxmox.routing import Call, Route, on, on_any
from sandbox.proxmox.schema import Parameter, Value, boolean, choice, integer, text
from sandbox.proxmox.state import Guest
from sandbox.proxmox.tasks import Log


def status(datacenter: Datacenter, guest: Guest) -> dict[str, Value]:
    """Describe a machine and its power as ``status/current`` does."""
    config = guest.config
    boot_disk = datacenter.volumes_by_id(guest.node).get(volume_of(config.get(boot_drive(config))))
    shown: dict[str, Value] = {
        "vmid": guest.vmid,
        "name": config.get("name", f"VM {guest.vmid}"),
        "status": "running" if guest.running else "stopped",
        "qmpstatus": "running" if guest.running else "stopped",
        "cpus": int(config.get("cores", 1)) * int(config.get("sockets", 1)),
        "cpu": 0,
        "maxmem": memory_of(config),
        "mem": memory_of(config) if guest.running else 0,
        "maxdisk": boot_disk.size if boot_disk else 0,
        "disk": 0,
        "uptime": int(time.time() - guest.started) if guest.running else 0,
    }
    if guest.running:
        shown["pid"] = os.getpid()
    if str(config.get("agent", "0")).startswith(("1", "enabled=1")):
        shown["agent"] = 1
    extra = {"lock": guest.lock, "tags": config.get("tags"), "template": config.get("template")}
    return shown | {name: value for name, value in extra.items() if value}


async def _listing(call: Call) -> object:
    call.datacenter.host(call.node)
    here = [guest for guest in call.datacenter.state.guests.values() if guest.node == call.node]
    return [status(call.datacenter, guest) for guest in here if call.may(f"/vms/{guest.vmid}", "VM.Audit")]


async def _create(call: Call) -> object:
    given = call.given | {"vmid": call.values["vmid"]}
    permissions.check_create(call, given)
    boot = given.pop("start", 0)
    upid = await guests.create(call.datacenter, call.node, given, call.user)
    if boot:
        await power.start(call.datacenter, call.guest, call.user)
    return upid


async def _config(call: Call) -> object:
    guest = call.guest
    return changes.shown(guest.config if call.values.get("current") else guest.next_config)


async def _pending(call: Call) -> object:
    guest = call.guest
    found: list[dict[str, Value]] = []
    for key in sorted({*guest.config, *guest.pending}):
        entry: dict[str, Value] = {"key": key}
        for name, source in (("value", guest.config), ("pending", guest.pending)):
            if key in source:
                entry[name] = "**********" if key == SECRET else source[key]
        if key in guest.unset:
            entry["delete"] = 1
        found.append(entry)
    return found


async def _update(call: Call) -> object:
    permissions.check_update(call, call.guest)
    changes.update(call.datacenter, call.guest, call.given)
    return None


async def _update_as_task(call: Call) -> object:
    guest = call.guest
    permissions.check_update(call, guest)

    async def work(_: Log) -> None:
        changes.update(call.datacenter, guest, call.given)

    return await call.datacenter.tasks.run(guest.node, "qmconfig", str(guest.vmid), call.user, work)


async def _resize(call: Call) -> object:
    permissions.check_resize(call, call.guest)
    return await changes.resize(call.datacenter, call.guest, call.text("disk"), call.text("size"), call.user)


async def _clone(call: Call) -> object:
    permissions.check_clone(call, call.guest)
    return await guests.clone(call.datacenter, call.guest, call.given, call.user)


async def _template(call: Call) -> object:
    return await guests.make_template(call.datacenter, call.guest, call.user)


async def _destroy(call: Call) -> object:
    unreferenced, purge = (bool(call.values.get(name, 0)) for name in ("destroy-unreferenced-disks", "purge"))
    return await guests.destroy(call.datacenter, call.guest, unreferenced=unreferenced, purge=purge, user=call.user)


async def _rebuild_cloud_init(call: Call) -> object:
    """Write nothing, since cloud-init's data is read at each boot; refuse a machine without a drive for it."""
    guest = call.guest
    changes.check_lock(guest)
    if not any(volume_of(guest.config.get(name)).endswith("-cloudinit") for name in DRIVES):
        raise ParameterError({"vmid": "no cloudinit drive configured"})
    return None


async def _current(call: Call) -> object:
    guest = call.guest
    managed = call.datacenter.state.ha_resources.get(availability.sid_of(guest))
    of_ha: dict[str, Value] = {"managed": 1, "state": managed["state"]} if managed else {"managed": 0}
    return {**status(call.datacenter, guest), "ha": of_ha}


async def _start(call: Call) -> object:
    availability.request(call.datacenter, call.guest, "started")
    return await power.start(call.datacenter, call.guest, call.user)


async def _stop(call: Call) -> object:
    availability.request(call.datacenter, call.guest, "stopped")
    return await power.stop(call.datacenter, call.guest, "qmstop", call.user)


async def _shutdown(call: Call) -> object:
    availability.request(call.datacenter, call.guest, "stopped")
    return await power.stop(call.datacenter, call.guest, "qmshutdown", call.user)


async def _reboot(call: Call) -> object:
    return await power.reboot(call.datacenter, call.guest, call.user)


async def _agent(call: Call) -> object:
    """Answer as a host does for an image without a guest agent; no machine here runs one."""
    guest = call.guest
    if not guest.running:
        raise RefusedError(f"VM {guest.vmid} is not running")
    if not status(call.datacenter, guest).get("agent"):
        raise RefusedError("No QEMU guest agent configured")
    raise RefusedError("QEMU guest agent is not running")


_TIMEOUT = {"timeout": Parameter(integer(0))}
_CREATE = {
    **OPTIONS,
    "vmid": Parameter(VM_ID, required=True),
    "pool": Parameter(POOL_ID),
    "start": Parameter(boolean),
    "storage": Parameter(STORAGE_ID),
}
_UPDATE = {**OPTIONS, "delete": Parameter(text()), "digest": Parameter(text(r"[0-9a-f]{40}"))}
_CLONE = {
    "newid": Parameter(VM_ID, required=True),
    "name": Parameter(DNS_NAME),
    "description": Parameter(text()),
    "full": Parameter(boolean),
    "pool": Parameter(POOL_ID),
    "storage": Parameter(STORAGE_ID),
    "target": Parameter(text()),
}
_RESIZE = {
    "disk": Parameter(choice(*DRIVES), required=True),
    "size": Parameter(text(r"\+?\d+(\.\d+)?[KMGT]?"), required=True),
    "digest": Parameter(text(r"[0-9a-f]{40}")),
}
_DESTROY = {"purge": Parameter(boolean), "destroy-unreferenced-disks": Parameter(boolean)}
_AUDIT = on("/vms/{vmid}", "VM.Audit")
_ALLOCATE = on("/vms/{vmid}", "VM.Allocate")
_POWER = on("/vms/{vmid}", "VM.PowerMgmt")
_CONFIGURE = on_any("/vms/{vmid}", *permissions.CONFIGURE)
_GUEST_AGENT = on("/vms/{vmid}", "VM.GuestAgent.Audit")
_GUEST: Final = "/nodes/{node}/qemu/{vmid}"
ROUTES: Final = (
    Route("GET", "/nodes/{node}/qemu", _listing, {"full": Parameter(boolean)}),
    Route("POST", "/nodes/{node}/qemu", _create, _CREATE, refuse_not_modelled),
    Route("DELETE", _GUEST, _destroy, _DESTROY, needs=_ALLOCATE),
    Route("GET", f"{_GUEST}/config", _config, {"current": Parameter(boolean)}, needs=_AUDIT),
    Route("PUT", f"{_GUEST}/config", _update, _UPDATE, refuse_not_modelled, _CONFIGURE),
    Route("POST", f"{_GUEST}/config", _update_as_task, _UPDATE, refuse_not_modelled, _CONFIGURE),
    Route("GET", f"{_GUEST}/pending", _pending, needs=_AUDIT),
    Route("PUT", f"{_GUEST}/resize", _resize, _RESIZE, needs=on("/vms/{vmid}", "VM.Config.Disk")),
    Route("POST", f"{_GUEST}/clone", _clone, _CLONE, needs=on("/vms/{vmid}", "VM.Clone")),
    Route("POST", f"{_GUEST}/template", _template, needs=_ALLOCATE),
    Route("PUT", f"{_GUEST}/cloudinit", _rebuild_cloud_init, needs=on("/vms/{vmid}", "VM.Config.Cloudinit")),
    Route("GET", f"{_GUEST}/status/current", _current, needs=_AUDIT),
    Route("POST", f"{_GUEST}/status/start", _start, _TIMEOUT, needs=_POWER),
    Route("POST", f"{_GUEST}/status/stop", _stop, {**_TIMEOUT, "keepActive": Parameter(boolean)}, needs=_POWER),
    Route(
        "POST",
        f"{_GUEST}/status/shutdown",
        _shutdown,
        {**_TIMEOUT, **dict.fromkeys(("forceStop", "keepActive"), Parameter(boolean))},
        needs=_POWER,
    ),
    Route("POST", f"{_GUEST}/status/reboot", _reboot, _TIMEOUT, needs=_POWER),
    Route("POST", f"{_GUEST}/agent/ping", _agent, needs=_GUEST_AGENT),
    Route("GET", f"{_GUEST}/agent/network-get-interfaces", _agent, needs=_GUEST_AGENT),
)

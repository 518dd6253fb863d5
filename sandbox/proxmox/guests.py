"""The life of a virtual machine apart from power and configuration: made, cloned, turned into a template, destroyed."""

import re
import time
import uuid

from sandbox.proxmox.access import denied
from sandbox.proxmox.availability import drop, sid_of
from sandbox.proxmox.changes import check_lock, without_secret
from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.disks import attach, check_storages, referenced
from sandbox.proxmox.drives import CARDS, is_cdrom, is_drive, join_drive, random_mac, split_drive
from sandbox.proxmox.errors import ApiError, NotServedError, RefusedError
from sandbox.proxmox.schema import Value
from sandbox.proxmox.state import Guest, Volume
from sandbox.proxmox.tasks import Log


async def create(datacenter: Datacenter, node: str, given: dict[str, Value], user: str) -> str:
    """Start making a machine; its id is taken at once."""
    vmid, pool = int(given.pop("vmid")), given.pop("pool", None)
    datacenter.host(node)
    check_storages(datacenter, node, given)
    guest = _reserve(datacenter, vmid, node, "create", pool)

    async def work(log: Log) -> None:
        made: list[Volume] = []
        try:
            config: dict[str, Value] = {**_identity(), **without_secret(given)}
            for name in filter(is_drive, sorted(given)):
                config[name] = attach(datacenter, guest, name, str(given[name]), made)
                log(f"{name}: {config[name]}")
            config.setdefault("boot", _boot_order(config))
            guest.config, guest.lock = config, None
        except ApiError as error:
            raise RefusedError(f"unable to create VM {vmid} - {error}") from error
        finally:
            if guest.lock:
                _give_up(datacenter, guest, made)

    return await datacenter.tasks.run(node, "qmcreate", str(vmid), user, work)


def _reserve(datacenter: Datacenter, vmid: int, node: str, lock: str, pool: Value | None) -> Guest:
    access = datacenter.state.access
    if pool is not None and pool not in access.pools:
        raise denied(f"pool '{pool}' does not exist")
    if taken := datacenter.state.guests.get(vmid):
        raise RefusedError(f"unable to create VM {vmid} - VM {vmid} already exists on node '{taken.node}'")
    guest = Guest(vmid, node, lock=lock)
    datacenter.state.guests[vmid] = guest
    if pool is not None:
        access.pools[str(pool)].machines.append(vmid)
    datacenter.save()
    return guest


def _give_up(datacenter: Datacenter, guest: Guest, made: list[Volume]) -> None:
    for volume in made:
        datacenter.free(volume)
    datacenter.state.access.forget(guest.vmid)
    del datacenter.state.guests[guest.vmid]


def _identity() -> dict[str, Value]:
    return {
        "smbios1": f"uuid={uuid.uuid4()}",
        "vmgenid": str(uuid.uuid4()),
        "meta": f"creation-qemu=10.0.2,ctime={int(time.time())}",
    }


def _boot_order(config: dict[str, Value]) -> str:
    disks = [n for n in sorted(config) if is_drive(n) and not is_cdrom(split_drive(n, str(config[n])))]
    return "order=" + ";".join([*disks[:1], *(name for name in CARDS if name in config)])


async def clone(datacenter: Datacenter, source: Guest, given: dict[str, Value], user: str) -> str:
    """Start a full copy of a machine, with MAC addresses and ids of its own."""
    check_lock(source)
    newid = int(given["newid"])
    if given.get("target", source.node) != source.node:
        raise RefusedError(f"can't clone VM {source.vmid} to node '{given['target']}': its disks are on local storage")
    if not given.get("full", int(not source.is_template)):
        raise NotServedError("Linked clone")
    target = str(given["storage"]) if "storage" in given else None
    if target:
        datacenter.storage_for(source.node, target, "images")
    if newid in datacenter.state.guests:
        raise RefusedError(f"unable to create VM {newid}: config file already exists")
    guest = _reserve(datacenter, newid, source.node, "clone", given.get("pool"))

    async def work(log: Log) -> None:
        made: list[Volume] = []
        try:
            config = {k: v for k, v in source.config.items() if k != "template" and not k.startswith("unused")}
            config |= _identity() | {"name": given.get("name", f"Copy-of-VM-{source.config.get('name', source.vmid)}")}
            config |= {"description": given["description"]} if "description" in given else {}
            guest.config = config = _with_new_macs(config)
            for name in filter(is_drive, sorted(config)):
                config[name] = _copy(datacenter, guest, name, target, made)
                log(f"create full clone of drive {name} ({config[name]})")
            guest.lock = None
        except ApiError as error:
            raise RefusedError(f"clone failed: {error}") from error
        finally:
            if guest.lock:
                _give_up(datacenter, guest, made)

    return await datacenter.tasks.run(source.node, "qmclone", str(source.vmid), user, work)


def _with_new_macs(config: dict[str, Value]) -> dict[str, Value]:
    cards = {name: str(config[name]) for name in CARDS if name in config}
    return config | {n: re.sub(r"=[0-9A-Fa-f:]{17}", f"={random_mac()}", card, count=1) for n, card in cards.items()}


def _copy(datacenter: Datacenter, guest: Guest, name: str, target: str | None, made: list[Volume]) -> str:
    value = str(guest.config[name])
    options = split_drive(name, value)
    if is_cdrom(options) and not options["file"].endswith("-cloudinit"):
        return value
    original = datacenter.volume(guest.node, options["file"])
    storage = datacenter.storage_for(guest.node, target or original.storage, "images")
    copy_name = f"vm-{guest.vmid}-cloudinit" if is_cdrom(options) else ""
    copy = datacenter.allocate(guest, storage, original.size, name=copy_name, image=original.image)
    made.append(copy)
    return join_drive({**options, "file": copy.volid})


async def make_template(datacenter: Datacenter, guest: Guest, user: str) -> str:
    """Start turning a machine into a template, which can be cloned and never started."""

    async def work(_: Log) -> None:
        check_lock(guest)
        if guest.running:
            raise RefusedError(f"unable to create template - VM {guest.vmid} is running")
        for volume in [
            v for v in datacenter.volumes(guest.node) if v.vmid == guest.vmid and v.volid in referenced(guest)
        ]:
            if not volume.name.endswith("-cloudinit"):
                old = volume.volid
                volume.name = volume.name.replace("vm-", "base-", 1)
                guest.config = {
                    k: v.replace(old, volume.volid) if isinstance(v, str) else v for k, v in guest.config.items()
                }
        guest.config["template"] = 1

    return await datacenter.tasks.run(guest.node, "qmtemplate", str(guest.vmid), user, work)


async def destroy(datacenter: Datacenter, guest: Guest, *, unreferenced: bool, purge: bool, user: str) -> str:
    """Start deleting a machine with its disks; ``unreferenced`` is for those that its configuration does not name.

    ``purge`` takes it out of what the cluster does for it, without which one that is highly available stays.
    """

    def check() -> None:
        if not purge and sid_of(guest) in datacenter.state.ha_resources:
            raise RefusedError(f"unable to remove VM {guest.vmid} - used in HA resources and purge parameter not set.")
        if guest.config.get("protection"):
            raise RefusedError(f"can't remove VM {guest.vmid} - protection mode enabled")

    check()

    async def work(log: Log) -> None:
        async with datacenter.locks[guest.vmid]:
            check()
            check_lock(guest)
            if guest.running:
                raise RefusedError(f"VM {guest.vmid} is running - destroy failed")
            await datacenter.machines.discard(guest.vmid)
            kept = referenced(guest)
            for volume in [v for v in datacenter.volumes(guest.node) if v.vmid == guest.vmid]:
                if unreferenced or volume.volid in kept:
                    datacenter.free(volume)
                    log(f"Logical volume '{volume.volid}' successfully removed")
            drop(datacenter, sid_of(guest))
            datacenter.state.firewalls.pop(guest.vmid, None)
            datacenter.state.access.forget(guest.vmid)
            datacenter.state.guests.pop(guest.vmid, None)
            datacenter.state.resuming.discard(guest.vmid)

    return await datacenter.tasks.run(guest.node, "qmdestroy", str(guest.vmid), user, work)

"""Power: starting and stopping machines, and what happens to them when the hosts themselves come back."""

import logging
import re
import time

from sandbox.proxmox.changes import apply_pending, check_lock
from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.disks import volume_of
from sandbox.proxmox.drives import CARDS, is_drive, split_card
from sandbox.proxmox.errors import ApiError, RefusedError
from sandbox.proxmox.machine import machine_of, memory_of
from sandbox.proxmox.state import Guest
from sandbox.proxmox.tasks import Log

logger = logging.getLogger(__name__)


async def start(datacenter: Datacenter, guest: Guest, user: str) -> str:
    """Start a machine."""

    async def work(_: Log) -> None:
        async with datacenter.locks[guest.vmid]:
            if guest.running:
                raise RefusedError(f"VM {guest.vmid} already running")
            await _boot(datacenter, guest)

    return await datacenter.tasks.run(guest.node, "qmstart", str(guest.vmid), user, work)


async def stop(datacenter: Datacenter, guest: Guest, kind: str, user: str) -> str:
    """Stop a machine; ``kind`` is the task's name. Machines here obey at once, so a shutdown never has to be forced."""

    async def work(_: Log) -> None:
        async with datacenter.locks[guest.vmid]:
            check_lock(guest)
            await _halt(datacenter, guest)

    return await datacenter.tasks.run(guest.node, kind, str(guest.vmid), user, work)


async def reboot(datacenter: Datacenter, guest: Guest, user: str) -> str:
    """Stop and start a running machine, so that pending changes take effect."""
    if not guest.running:
        raise RefusedError(f"VM {guest.vmid} not running")

    async def work(_: Log) -> None:
        async with datacenter.locks[guest.vmid]:
            check_lock(guest)
            await _halt(datacenter, guest)
            await _boot(datacenter, guest)

    return await datacenter.tasks.run(guest.node, "qmreboot", str(guest.vmid), user, work)


async def resume(datacenter: Datacenter) -> None:
    """Start the machines that ran when the hosts went down and have ``onboot``, in their startup order.

    A host that comes back starts every machine with ``onboot``. This one leaves alone those that had been stopped on
    purpose: pausing the sandbox should change nothing. Machines without ``onboot`` stay off, as on a host. One that
    can't start is logged, and the others start all the same.
    """

    def order(guest: Guest) -> tuple[int, int]:
        found = re.search(r"(?:^|order=)(\d+)", str(guest.config.get("startup", "")))
        return (int(found[1]) if found else 2**31, guest.vmid)

    for guest in sorted((datacenter.state.guests[vmid] for vmid in datacenter.state.resuming), key=order):
        async with datacenter.locks[guest.vmid]:
            if guest.vmid not in datacenter.state.resuming or guest.running:
                continue
            if guest.config.get("onboot"):
                try:
                    await _boot(datacenter, guest)
                except ApiError as error:
                    logger.warning("VM %d (%s) stays off: %s", guest.vmid, guest.config.get("name"), error)
            datacenter.state.resuming.discard(guest.vmid)
            datacenter.save()


async def _halt(datacenter: Datacenter, guest: Guest) -> None:
    if guest.running:
        await datacenter.machines.halt(guest.vmid)
    guest.running, guest.started = False, 0.0
    datacenter.state.resuming.discard(guest.vmid)
    apply_pending(datacenter, guest)


async def _boot(datacenter: Datacenter, guest: Guest) -> None:
    check_lock(guest)
    apply_pending(datacenter, guest)
    _check_hardware(datacenter, guest)
    machine = machine_of(guest, datacenter.volumes_by_id(guest.node))
    try:
        await datacenter.machines.boot(machine)
    except Exception as error:
        logger.exception("VM %d did not boot", guest.vmid)
        raise RefusedError(f"start failed: {error}") from error
    guest.running, guest.started = True, time.time()
    datacenter.state.resuming.discard(guest.vmid)


def _check_hardware(datacenter: Datacenter, guest: Guest) -> None:
    """Refuse to start what its host has no CPU, memory, network or disk for."""
    host, config = datacenter.host(guest.node), guest.config
    if guest.is_template:
        raise RefusedError("you can't start a vm if it's a template")
    if int(config.get("cores", 1)) * int(config.get("sockets", 1)) > host.cpus:
        raise RefusedError(f"MAX {host.cpus} vcpus allowed per VM on this node")
    others = (g for g in datacenter.state.guests.values() if g.node == guest.node and g.running)
    free = host.memory - sum(memory_of(other.config) for other in others)
    if memory_of(config) > free:
        raise RefusedError(
            f"start failed: cannot set up guest memory 'pc.ram': Cannot allocate memory "
            f"({memory_of(config) >> 20} MiB wanted, {max(free, 0) >> 20} MiB free on '{host.name}')"
        )
    for name in CARDS:
        bridge = split_card(name, str(config[name])).get("bridge") if name in config else None
        if bridge and bridge not in host.bridges:
            raise RefusedError(f"bridge '{bridge}' does not exist")
    there = datacenter.volumes_by_id(guest.node)
    for name in filter(is_drive, sorted(config)):
        volume = volume_of(config[name])
        if volume not in (*there, "none", "cdrom"):
            raise RefusedError(f"no such logical volume {volume} ({name})")

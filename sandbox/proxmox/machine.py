"""What the data centre hands to whoever runs its machines: the hardware, and cloud-init's data as of this boot."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Protocol
from urllib.parse import unquote

from sandbox.proxmox.drives import CARDS, is_cdrom, is_drive, split_card, split_drive
from sandbox.proxmox.schema import Value
from sandbox.proxmox.state import Guest, Volume


@dataclass(frozen=True)
class Machine:
    """A virtual machine at the moment of its boot; memory and disks in bytes.

    Without a cloud-init drive there is no address, user or key. ``image`` is the volume that the boot disk was made
    from, None when it is blank: such a machine finds nothing to boot. ``instance_id`` changes with cloud-init's data,
    and that is when cloud-init configures a machine again.
    """

    vm_id: int
    name: str
    node: str
    address: IPv4Address | None
    user: str | None
    authorized_keys: tuple[str, ...]
    disks: Mapping[str, int]
    cores: int
    memory: int
    mac: str | None
    image: str | None
    instance_id: str


class Machines(Protocol):
    """What power does to machines; implemented outside of this package."""

    async def boot(self, machine: Machine) -> None:
        """Boot a machine that was started; an exception fails the start."""
        ...

    async def halt(self, vm_id: int) -> None:
        """Halt a machine that was stopped or shut down; its disks stay."""
        ...

    async def discard(self, vm_id: int) -> None:
        """Forget a machine that was deleted; its disks are gone."""
        ...


def machine_of(guest: Guest, volumes: Mapping[str, Volume]) -> Machine:
    """Describe ``guest`` with its current configuration; ``volumes`` are those of its host by volume id."""
    config = guest.config
    drives = {name: split_drive(name, str(value)) for name, value in sorted(config.items()) if is_drive(name)}
    disks = {name: volumes[options["file"]] for name, options in drives.items() if not is_cdrom(options)}
    has_cloud_init = any(options["file"].endswith(f"vm-{guest.vmid}-cloudinit") for options in drives.values())
    cloud = {
        key: str(value) for key, value in config.items() if re.match(r"ci|sshkeys|ipconfig|nameserver|searchd", key)
    }
    if not has_cloud_init:
        cloud = {}
    keys = tuple(line for line in unquote(cloud.get("sshkeys", "")).splitlines() if line)
    identity = "\n".join(
        f"{key}={value}" for key, value in sorted({**cloud, "name": str(config.get("name", ""))}.items())
    )
    first_card = next((str(config[card]) for card in CARDS if card in config), None)
    boot_disk = disks.get(boot_drive(config))
    return Machine(
        vm_id=guest.vmid,
        name=str(config.get("name", f"VM{guest.vmid}")),
        node=guest.node,
        address=_address(cloud.get("ipconfig0", "")),
        user=cloud.get("ciuser"),
        authorized_keys=keys,
        disks={name: volume.size for name, volume in disks.items()},
        cores=int(config.get("cores", 1)) * int(config.get("sockets", 1)),
        memory=memory_of(config),
        mac=split_card("net0", first_card)["macaddr"] if first_card else None,
        image=boot_disk.image if boot_disk else None,
        instance_id=hashlib.sha1(identity.encode(), usedforsecurity=False).hexdigest(),
    )


def memory_of(config: Mapping[str, Value]) -> int:
    """Return the memory of a configuration in bytes."""
    return int(str(config.get("memory", 512)).split(",")[0]) * 1024**2


def boot_drive(config: Mapping[str, Value]) -> str:
    """Return the name of the disk that a machine boots from, an empty text when it has none."""
    disks = [n for n, value in sorted(config.items()) if is_drive(n) and not is_cdrom(split_drive(n, str(value)))]
    order = re.search(r"order=([^,]*)", str(config.get("boot", "")))
    named = order[1].split(";") if order else disks
    return next((name for name in named if name in disks), "")


def _address(ip_config: str) -> IPv4Address | None:
    found = re.search(r"(?:^|,)ip=([\d.]+/\d+)", ip_config)
    return IPv4Interface(found[1]).ip if found else None

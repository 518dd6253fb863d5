"""Hosts, networks, the firewall, and the machines that the lab consists of."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from config.model.values import Address, AddressRange, Datastore, Label, Mac, Network, Section, Url, Vlan

LINUX_USER = r"^[a-z_][a-z0-9_-]{0,31}$"
SHA512 = r"^[0-9a-f]{128}$"
# A pool's name is also that of the firewall group, which may have 18 characters, and of the backup job.
POOL = r"^[a-z][a-z0-9-]{1,17}$"
# What is common in Proxmox's calendar events: days of the week, then a time of the day.
_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
CALENDAR = rf"^({_DAY}((\.\.|,){_DAY})* )?([01]?[0-9]|2[0-3]):[0-5][0-9]$"
QCOW2 = r"^[A-Za-z0-9][A-Za-z0-9._-]*\.qcow2$"
# The organisation of Proxmox Server Solutions, whose addresses Proxmox itself gives to machines.
MAC_PREFIX = "BC:24:11"
# By pfSense's internal names. WAN is none of them: the lab has no way in but the tunnel.
Interface = Annotated[str, Field(pattern=r"^(lan|opt[1-9][0-9]?)$")]


class Image(Section):
    """The cloud image that every machine starts from."""

    url: Url
    checksum: str = Field(
        pattern=SHA512,
        description="the image's SHA-512 in lower case, 128 hex digits, from the SHA512SUMS file beside the image",
    )
    file_name: str = Field(pattern=QCOW2, description="a file name ending in .qcow2, such as debian-13.qcow2")


class Host(Section):
    """A Proxmox VE host and what it has to give away."""

    name: Label = Field(description="the host's name in Proxmox, such as pve1")
    address: Address | None = Field(default=None, description="the host's IPv4 address, or no key if DNS has it")
    cores: int = Field(ge=1, le=1024, description="the host's CPU threads, as Proxmox counts them")
    memory: int = Field(ge=4096, description="the host's memory in MiB, 4096 or more")
    datastores: Mapping[Datastore, int] = Field(
        min_length=1, description="GiB by datastore for this lab to use, such as {local: 50, local-lvm: 800}"
    )


class Overcommit(Section):
    """How much more may be promised to machines than a host has."""

    cpu: float = Field(default=2.0, ge=1, le=16, description="virtual CPUs for each thread of a host, 1 to 16")
    memory: float = Field(default=1.0, ge=1, le=2, description="1 to 2; above 1 the host may run out of memory")
    disk: float = Field(default=1.0, ge=1, le=10, description="1 to 10; above 1 a thin pool may run full")


class MachineBackups(Section):
    """A backup job of Proxmox for the lab's machines; disks for volumes are left to the backups of volumes."""

    datastore: Datastore = Field(description="a datastore that allows the content type Backup, best off the hosts")
    schedule: str = Field(default="02:00", pattern=CALENDAR, description="a time as 02:00, after days as in sat 02:00")
    keep: int = Field(default=7, ge=1, le=1000, description="how many backups of a machine are kept, 1 or more")


class DataCentre(Section):
    """What asks for rights on the whole of Proxmox: take what you want to give them for."""

    start_order: bool = Field(default=False, description="true: servers start before agents, and stop after them")
    firewall_group: bool = Field(default=False, description="true: Proxmox lets through to a node only what it serves")
    backups: MachineBackups | None = None
    high_availability: bool = Field(
        default=False,
        description="true, if all hosts share proxmox.disks: a machine moves when its host fails, "
        "and `host` of its node is only where it is made",
    )


class Proxmox(Section):
    """The Proxmox VE cluster and where machines go on it."""

    endpoint: Url
    hosts: tuple[Host, ...] = Field(min_length=1, description="one entry for each Proxmox host")
    image: Image
    images: Datastore = Field(default="local", description="a datastore that allows the content type Import")
    disks: Datastore = Field(default="local-lvm", description="a datastore that allows the content type Disk image")
    overcommit: Overcommit = Overcommit()
    pool: str = Field(
        default="homelab",
        pattern=POOL,
        description="a pool that exists for the lab alone: 2 to 18 characters, as homelab",
    )
    datacenter: DataCentre = DataCentre()


class Neighbour(Section):
    """A network beside that of the machines: pods and services may not use its addresses."""

    cidr: Network = Field(description="an IPv4 network such as 192.168.1.0/24, host bits zero")
    vlan: Vlan | None = Field(default=None, description="a VLAN id from 1 to 4094, or no key for none")
    dhcp: tuple[AddressRange, ...] = Field(
        default=(), description="the DHCP server's pools, such as [10.20.0.100-10.20.0.199]"
    )


class MachineNetwork(Neighbour):
    """The network that the machines live in: one layer 2, as the API address asks for."""

    gateway: Address = Field(description="the router's IPv4 address inside networks.nodes.cidr")
    dns: tuple[Address, ...] = Field(min_length=1, description="one or more IPv4 addresses of DNS servers")
    bridge: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,14}$", description="a Linux bridge of the hosts, such as vmbr0")


class Networks(Section):
    """The networks of the house, as far as the lab has to know them."""

    nodes: MachineNetwork
    management: Neighbour | None = Field(default=None, description="where the hosts are, if not among the machines")
    lan: Neighbour | None = Field(default=None, description="where the people are, if not among the machines")
    vpn: Neighbour | None = Field(default=None, description="where remote people come from")


class Interfaces(Section):
    """Which of the firewall's interfaces leads to which network. WAN cannot be one of them."""

    nodes: Interface = Field(description="the interface of networks.nodes by pfSense's own name: lan, or opt1, opt2 …")
    lan: Interface | None = Field(default=None, description="that of networks.lan, or no key for no rules there")
    vpn: Interface | None = Field(default=None, description="that of networks.vpn, or no key for no rules there")


class Firewall(Section):
    """The pfSense firewall in front of the lab."""

    endpoint: Url
    interfaces: Interfaces
    operators: tuple[Address, ...] = Field(
        default=(),
        description="addresses in networks.lan or networks.vpn that `make up` runs at: they reach the nodes by SSH",
    )
    reachable: tuple[Address, ...] = Field(
        default=(), description="IPv4 addresses in the house that nodes may reach at any port, such as a NAS"
    )


class Ssh(Section):
    """How the program reaches a machine; the key is generated, never configured."""

    user: str = Field(default="debian", pattern=LINUX_USER, description="the account that cloud-init makes, as debian")
    port: int = Field(default=22, ge=1, le=65535, description="a TCP port from 1 to 65535")


class Disks(Section):
    """A machine's disks in GiB. They may grow later, never shrink."""

    system: int = Field(default=32, ge=8, le=65536, description="the system's disk in GiB, 8 or more")
    etcd: int | None = Field(default=None, ge=4, le=1024, description="a server's own disk for etcd in GiB, 4 or more")
    longhorn: int | None = Field(default=None, ge=10, le=65536, description="a disk for volumes in GiB, 10 or more")


def _derived_mac(node: dict[str, Any]) -> str:
    """Return an address of its own for each VM id. What is no address for want of bytes is refused as one."""
    number = node.get("vm_id", 0)
    bytes_of_id = f"{number:06X}"
    return ":".join([MAC_PREFIX, *(bytes_of_id[at : at + 2] for at in range(0, len(bytes_of_id), 2))])


class Node(Section):
    """One machine and its part in the cluster."""

    name: Label = Field(description="a DNS label: lower-case letters, digits and inner hyphens, at most 63")
    role: Literal["server", "agent"] = Field(description="server (control plane and etcd) or agent (workloads)")
    host: Label = Field(description="one of proxmox.hosts")
    vm_id: int = Field(ge=100, le=999_999_999, description="a Proxmox VM id, 100 or more")
    address: Address = Field(description="a free static IPv4 address inside networks.nodes.cidr")
    mac: Mac = Field(
        default_factory=_derived_mac,
        validate_default=True,
        description="a unicast MAC address such as BC:24:11:00:00:11, or no key and a VM id below 16777216",
    )
    cores: int = Field(default=2, ge=1, le=128, description="CPU cores from 1 to 128; K3s asks for 2 on a server")
    memory: int = Field(default=4096, ge=1024, le=4_194_304, description="memory in MiB, 1024 or more")
    disks: Disks = Disks()

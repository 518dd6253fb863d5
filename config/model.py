"""The lab as typed, frozen data: what an operator may decide, and which decisions fit together.

It knows nothing of Pulumi and holds no secret. A field's description says what a good value looks like; it is the fix
that an operator reads when the value is refused.
"""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
DOMAIN = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
HTTPS = r"^https://[^\s/?#@]+(/[^\s?#]*)?$"
LINUX_USER = r"^[a-z_][a-z0-9_-]{0,31}$"
# An even first octet: an odd one is a group of machines, not one.
MAC = r"^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$"
SHA512 = r"^[0-9a-f]{128}$"
QCOW2 = r"^[A-Za-z0-9][A-Za-z0-9._-]*\.qcow2$"

Address = ipaddress.IPv4Address
Network = ipaddress.IPv4Network

Label = Annotated[str, Field(pattern=DNS_LABEL)]
Url = Annotated[str, Field(pattern=HTTPS, description="an https:// URL without credentials, query or fragment")]
# Proxmox answers with upper-case addresses; anything else would be a difference at each preview.
Mac = Annotated[str, Field(pattern=MAC), AfterValidator(str.upper)]


class Section(BaseModel):
    """Refuse unknown keys and never repeat a value in pydantic's own error text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Image(Section):
    """The cloud image that every machine starts from."""

    url: Url
    checksum: str = Field(
        pattern=SHA512,
        description="the image's SHA-512 in lower case, 128 hex digits, from the SHA512SUMS file beside the image",
    )
    file_name: str = Field(pattern=QCOW2, description="a file name ending in .qcow2, such as debian-13.qcow2")


class Proxmox(Section):
    """The Proxmox VE cluster and where machines go on it."""

    endpoint: Url
    hosts: tuple[Label, ...] = Field(min_length=1, description="the Proxmox node names, such as [pve1, pve2, pve3]")
    image: Image
    images: Label = Field(default="local", description="a datastore that allows the content type Import")
    disks: Label = Field(default="local-lvm", description="a datastore that allows the content type Disk image")
    bridge: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,14}$", description="a Linux bridge of the hosts, such as vmbr0")
    vlan: int | None = Field(default=None, ge=1, le=4094, description="a VLAN id from 1 to 4094, or no key for none")


class Lan(Section):
    """The network that the machines live in."""

    cidr: Network = Field(description="an IPv4 network such as 10.20.0.0/24, host bits zero")
    gateway: Address = Field(description="the router's IPv4 address inside network.cidr")
    dns: tuple[Address, ...] = Field(min_length=1, description="one or more IPv4 addresses of DNS servers")


class Ssh(Section):
    """How the program reaches a machine; the key is generated, never configured."""

    user: str = Field(pattern=LINUX_USER, description="the account that cloud-init makes, such as debian")
    port: int = Field(default=22, ge=1, le=65535, description="a TCP port from 1 to 65535")


class Node(Section):
    """One machine and its part in the cluster."""

    name: Label = Field(description="a DNS label: lower-case letters, digits and inner hyphens, at most 63")
    role: Literal["server", "agent"] = Field(description="server (control plane and etcd) or agent (workloads)")
    host: Label = Field(description="one of proxmox.hosts")
    vm_id: int = Field(ge=100, le=999_999_999, description="a Proxmox VM id, 100 or more")
    address: Address = Field(description="a free static IPv4 address inside network.cidr")
    mac: Mac = Field(description="a unicast MAC address such as BC:24:11:00:00:11")
    cores: int = Field(ge=1, le=128, description="CPU cores from 1 to 128; K3s asks for 2 on a server")
    memory: int = Field(ge=1024, description="memory in MiB, 1024 or more; K3s asks for 2048 on a server")
    disk: int = Field(ge=8, description="disk size in GiB, 8 or more; it may grow later, never shrink")


class Kubernetes(Section):
    """The cluster's addresses and where K3s comes from."""

    api_address: Address = Field(description="a free address inside network.cidr at which a server's API answers")
    release_url: Url = "https://github.com/k3s-io/k3s/releases/download"
    cluster_cidr: Network = Field(default=Network("10.42.0.0/16"), description="an IPv4 network for pods")
    service_cidr: Network = Field(default=Network("10.43.0.0/16"), description="an IPv4 network for services")


class Gitops(Section):
    """Where Argo CD reads from."""

    repository: Url
    revision: str = Field(min_length=1, description="a branch, tag or commit of gitops.repository")
    argocd_charts: Url = "https://argoproj.github.io/argo-helm"


class Lab(Section):
    """A whole lab. Build it with `config.rules.read_lab`, which also checks what no single field can."""

    name: Label = Field(description="a short name for the lab: a DNS label such as homelab")
    domain: str = Field(pattern=DOMAIN, description="a DNS domain such as lab.example.com")
    proxmox: Proxmox
    network: Lan
    ssh: Ssh
    nodes: tuple[Node, ...] = Field(min_length=1, description="one entry for each machine")
    kubernetes: Kubernetes
    gitops: Gitops
    protect: bool = Field(
        description="true refuses to delete machines, their token and their key; false for a trial lab"
    )

    @property
    def servers(self) -> tuple[Node, ...]:
        """The control plane, in the order in which it is built."""
        return tuple(node for node in self.nodes if node.role == "server")

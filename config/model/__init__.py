"""The lab as typed, frozen data: what an operator may decide, and in which form.

It knows nothing of Pulumi and holds no secret. A field's description says what a good value looks like; it is the fix
that an operator reads when the value is refused. Which decisions fit together is for `config.rules`.
"""

from collections.abc import Mapping

from pydantic import Field

from config.model.infrastructure import Firewall, Host, Networks, Node, Proxmox, Ssh
from config.model.platform import Gitops, Kubernetes, Storage
from config.model.services import Application, Backups, Databases, Edge, Hostname, Observability
from config.model.values import Domain, Label, Section

__all__ = [
    "Application",
    "Backups",
    "Databases",
    "Edge",
    "Host",
    "Hostname",
    "Kubernetes",
    "Lab",
    "Networks",
    "Node",
    "Observability",
    "Proxmox",
    "Section",
    "Storage",
]


class Lab(Section):
    """A whole lab.

    Build it with `config.rules.read_lab`, which also checks what no single field can. An optional section that is left
    out is a part that the lab does not have.
    """

    name: Label = Field(description="a short name for the lab: a DNS label such as homelab")
    domain: Domain = Field(description="a DNS domain such as lab.example.com")
    protect: bool = Field(
        description="true refuses to delete machines, their token and their key; false for a trial lab"
    )
    proxmox: Proxmox
    networks: Networks
    ssh: Ssh = Ssh()
    nodes: tuple[Node, ...] = Field(min_length=1, description="one entry for each machine")
    kubernetes: Kubernetes
    gitops: Gitops
    applications: Mapping[Label, Application] = Field(
        default_factory=dict, description="the lab's own applications by name"
    )
    storage: Storage | None = Field(default=None, description="{} for Longhorn with its defaults")
    databases: Databases = Databases()
    observability: Observability = Observability()
    backups: Backups | None = Field(default=None, description="a mapping with target, schedule and keep")
    firewall: Firewall | None = Field(default=None, description="a mapping with pfSense's endpoint and interfaces")
    edge: Edge | None = Field(default=None, description="a mapping with account, zone, groups and hostnames")

    @property
    def servers(self) -> tuple[Node, ...]:
        """The control plane, in the order in which it is built."""
        return tuple(node for node in self.nodes if node.role == "server")

    @property
    def storage_nodes(self) -> tuple[Node, ...]:
        """The nodes that have a disk for volumes."""
        return tuple(node for node in self.nodes if node.disks.longhorn is not None)

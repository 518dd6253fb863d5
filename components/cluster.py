"""A K3s cluster on machines that exist: servers with embedded etcd one after the other, then the agents.

The API address is given: something must answer there for the servers (a virtual address or a load balancer); this layer
puts it into the certificates and into the kubeconfig. It installs no storage, no ingress and no application.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from providers.generated import GeneratedToken
from providers.k3s import K3sNode, K3sNodeArgs, Peer
from providers.kubeconfig import K3sKubeconfig, K3sKubeconfigArgs


@dataclass(frozen=True, kw_only=True)
class MemberSpec:
    """One node: `machine` and `address` come from the layer below, so that a node waits for its machine."""

    name: str
    role: Literal["server", "agent"]
    node_ip: str
    machine: pulumi.Input[str]
    address: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class SshAccess:
    """How to be let into a member."""

    user: str
    port: int
    private_key: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """The members, the way to them, and what K3s is told."""

    members: Sequence[MemberSpec]
    version: str
    release_url: str
    api_address: str
    cluster_cidr: str
    service_cidr: str
    ssh: SshAccess
    protect: bool


class Cluster(pulumi.ComponentResource):
    """Install K3s on every member and hand out the administrator's kubeconfig."""

    kubeconfig: pulumi.Output[str]
    api_url: str

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the token, the nodes and the kubeconfig."""
        super().__init__("homelab:cluster:Cluster", name, None, opts)
        self._args = args
        self._servers = [member for member in args.members if member.role == "server"]
        # etcd snapshots can be restored only with the token of their time.
        kept = pulumi.ResourceOptions(parent=self, protect=args.protect)
        self._token = GeneratedToken(f"{name}-token", opts=kept)
        self._built: dict[str, K3sNode] = {}

        # A node pins the host keys of the servers before it and so comes after them: servers one at a time, since two
        # that join at once can leave etcd without a majority, then the agents together.
        for member in self._servers:
            self._built[member.name] = self._node(member)
        servers = list(self._built.values())
        agents = [self._node(member) for member in args.members if member.role == "agent"]

        first = self._servers[0]
        config = K3sKubeconfig(
            f"{name}-kubeconfig",
            K3sKubeconfigArgs(
                name=first.name,
                address=first.address,
                port=args.ssh.port,
                user=args.ssh.user,
                private_key=args.ssh.private_key,
                host_key=servers[0].host_key,
                api_address=args.api_address,
            ),
            # Whatever uses the cluster comes after the whole of it, and goes before any of it.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*servers, *agents]),
        )
        self.kubeconfig = pulumi.Output.secret(config.kubeconfig)
        self.api_url = f"https://{args.api_address}:6443"
        self.register_outputs({"kubeconfig": self.kubeconfig, "api_url": self.api_url})

    def _node(self, member: MemberSpec) -> K3sNode:
        args = self._args
        return K3sNode(
            member.name,
            K3sNodeArgs(
                machine=member.machine,
                name=member.name,
                role=member.role,
                address=member.address,
                port=args.ssh.port,
                user=args.ssh.user,
                private_key=args.ssh.private_key,
                version=args.version,
                release_url=args.release_url,
                config=self._agent_config(member) if member.role == "agent" else self._server_config(member),
                token=self._token.value,
                peers=[self._peer(server) for server in self._servers if server.name != member.name],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _peer(self, server: MemberSpec) -> Peer:
        built = self._built.get(server.name)
        # A server that is built later is asked only when this one is built anew; its key is not known here.
        return Peer(address=server.node_ip, host_key=built.host_key if built else "")

    def _agent_config(self, member: MemberSpec) -> Mapping[str, Any]:
        return {"node-name": member.name, "node-ip": member.node_ip, "server": self._first_url}

    def _server_config(self, member: MemberSpec) -> Mapping[str, Any]:
        args = self._args
        join = {"cluster-init": True} if member is self._servers[0] else {"server": self._first_url}
        return {
            **join,
            "node-name": member.name,
            "node-ip": member.node_ip,
            "tls-san": [args.api_address],
            "cluster-cidr": args.cluster_cidr,
            "service-cidr": args.service_cidr,
            "flannel-backend": "vxlan",
            "disable": ["traefik", "servicelb", "local-storage"],
            "secrets-encryption": True,
            "write-kubeconfig-mode": "0600",
        }

    @property
    def _first_url(self) -> str:
        return f"https://{self._servers[0].node_ip}:6443"

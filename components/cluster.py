"""A K3s cluster on machines that exist: servers with embedded etcd one after the other, then the agents.

The API address is given: something must answer there for the servers (a virtual address or a load balancer); this layer
puts it into the certificates and into the kubeconfig. It installs no storage, no ingress and no application.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from config.model.infrastructure import Node, Ssh
from config.model.platform import API_HOST, Kubernetes
from providers.generated import GeneratedToken
from providers.k3s import K3sNode, K3sNodeArgs, Peer
from providers.kubeconfig import API_PORT, K3sKubeconfig, K3sKubeconfigArgs


@dataclass(frozen=True, kw_only=True)
class ClusterArgs:
    """The nodes, and the way to them.

    ``machine_ids`` and ``addresses``, by the name of a node, come from the layer below: a node waits for its machine.
    """

    nodes: Sequence[Node]
    domain: str
    machine_ids: Mapping[str, pulumi.Input[str]]
    addresses: Mapping[str, pulumi.Input[str]]
    kubernetes: Kubernetes
    ssh: Ssh
    private_key: pulumi.Input[str]
    protect: bool


class Cluster(pulumi.ComponentResource):
    """Install K3s on every member and hand out the administrator's kubeconfig."""

    kubeconfig: pulumi.Output[str]
    api_url: str

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the token, the nodes and the kubeconfig."""
        super().__init__("homelab:cluster:Cluster", name, None, opts)
        self._args = args
        self._servers = [node for node in args.nodes if node.role == "server"]
        # etcd snapshots can be restored only with the token of their time.
        kept = pulumi.ResourceOptions(parent=self, protect=args.protect)
        self._token = GeneratedToken(f"{name}-token", opts=kept)
        self._built: dict[str, K3sNode] = {}

        # A node pins the host keys of the servers before it and so comes after them: servers one at a time, since two
        # that join at once can leave etcd without a majority, then the agents together.
        for node in self._servers:
            self._built[node.name] = self._node(node)
        servers = list(self._built.values())
        agents = [self._node(node) for node in args.nodes if node.role == "agent"]

        first = self._servers[0]
        config = K3sKubeconfig(
            f"{name}-kubeconfig",
            K3sKubeconfigArgs(
                name=first.name,
                address=args.addresses[first.name],
                port=args.ssh.port,
                user=args.ssh.user,
                private_key=args.private_key,
                host_key=servers[0].host_key,
                api_address=str(args.kubernetes.api_address),
            ),
            # Whatever uses the cluster comes after the whole of it, and goes before any of it.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*servers, *agents]),
        )
        self.kubeconfig = pulumi.Output.secret(config.kubeconfig)
        self.api_url = f"https://{args.kubernetes.api_address}:{API_PORT}"
        self.register_outputs({"kubeconfig": self.kubeconfig, "api_url": self.api_url})

    def _node(self, node: Node) -> K3sNode:
        args = self._args
        return K3sNode(
            node.name,
            K3sNodeArgs(
                machine=args.machine_ids[node.name],
                name=node.name,
                role=node.role,
                address=args.addresses[node.name],
                port=args.ssh.port,
                user=args.ssh.user,
                private_key=args.private_key,
                version=args.kubernetes.version,
                release_url=args.kubernetes.release_url,
                config=self._agent_config(node) if node.role == "agent" else self._server_config(node),
                token=self._token.value,
                peers=[self._peer(server) for server in self._servers if server.name != node.name],
            ),
            # A node can be replaced on demand, and two cannot have one name.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def _peer(self, server: Node) -> Peer:
        built = self._built.get(server.name)
        # A server that is built later is asked only when this one is built anew; its key is not known here.
        return Peer(address=str(server.address), host_key=built.host_key if built else "")

    def _agent_config(self, node: Node) -> Mapping[str, Any]:
        return {"node-name": node.name, "node-ip": str(node.address), "server": self._first_url}

    def _server_config(self, node: Node) -> Mapping[str, Any]:
        kubernetes = self._args.kubernetes
        join = {"cluster-init": True} if node is self._servers[0] else {"server": self._first_url}
        return {
            **join,
            "node-name": node.name,
            "node-ip": str(node.address),
            "tls-san": [str(kubernetes.api_address), f"{API_HOST}.{self._args.domain}"],
            "cluster-cidr": str(kubernetes.cluster_cidr),
            "service-cidr": str(kubernetes.service_cidr),
            "flannel-backend": "vxlan",
            "disable": ["traefik", "servicelb", "local-storage"],
            "secrets-encryption": True,
            "write-kubeconfig-mode": "0600",
        }

    @property
    def _first_url(self) -> str:
        return f"https://{self._servers[0].address}:{API_PORT}"

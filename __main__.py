"""The whole lab: configuration, then the layers from the machines up, then what the operator needs to know."""

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_proxmoxve as proxmox

from components.apps import Hub, HubArgs
from components.cluster import Cluster, ClusterArgs, MemberSpec, SshAccess
from components.compute import Compute, ComputeArgs, ImageSpec, MachineSpec
from components.delivery import ArgoCD, ArgoCDArgs
from config import versions
from config.load import load

lab, secrets = load()
proxmox_api = proxmox.Provider("proxmox", endpoint=lab.proxmox.endpoint, api_token=secrets.proxmox_api_token)
compute = Compute(
    "compute",
    ComputeArgs(
        machines=[
            MachineSpec(
                **node.model_dump(exclude={"role", "address"}), address=str(node.address), tags=["k3s", node.role]
            )
            for node in lab.nodes
        ],
        image=ImageSpec(**lab.proxmox.image.model_dump()),
        **lab.proxmox.model_dump(include={"images", "disks", "bridge", "vlan"}),
        prefix_length=lab.network.cidr.prefixlen,
        gateway=str(lab.network.gateway),
        dns=[str(server) for server in lab.network.dns],
        domain=lab.domain,
        user=lab.ssh.user,
        protect=lab.protect,
    ),
    pulumi.ResourceOptions(providers=[proxmox_api]),
)

cluster = Cluster(
    "cluster",
    ClusterArgs(
        members=[
            MemberSpec(
                name=node.name,
                role=node.role,
                node_ip=str(node.address),
                machine=compute.machine_ids[node.name],
                address=compute.addresses[node.name],
            )
            for node in lab.nodes
        ],
        version=versions.K3S,
        release_url=lab.kubernetes.release_url,
        api_address=str(lab.kubernetes.api_address),
        cluster_cidr=str(lab.kubernetes.cluster_cidr),
        service_cidr=str(lab.kubernetes.service_cidr),
        ssh=SshAccess(user=lab.ssh.user, port=lab.ssh.port, private_key=compute.private_key),
        protect=lab.protect,
    ),
)

kubernetes_api = kubernetes.Provider("kubernetes", kubeconfig=cluster.kubeconfig, cluster_identifier=lab.name)
in_cluster = pulumi.ResourceOptions(providers=[kubernetes_api])
git = lab.gitops
argocd = ArgoCD(
    "argocd",
    ArgoCDArgs(chart_repository=git.argocd_charts, chart_version=versions.ARGOCD_CHART, version=versions.ARGOCD),
    in_cluster,
)
hub = Hub(
    "hub",
    HubArgs(argocd_namespace=argocd.namespace, repository=git.repository, revision=git.revision),
    in_cluster,
)

pulumi.export("api_url", cluster.api_url)
pulumi.export("nodes", {node.name: compute.addresses[node.name] for node in lab.nodes})
pulumi.export("applications", [hub.application])
pulumi.export("kubeconfig", cluster.kubeconfig)

"""The whole lab: configuration, then the layers from the machines up, then what the operator needs to know."""

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_proxmoxve as proxmox

from components.apps import KINDS, App, AppArgs
from components.cluster import Cluster, ClusterArgs
from components.compute import Compute, ComputeArgs
from components.delivery import ArgoCD, ArgoCDArgs, Channel
from components.network import Network, NetworkArgs
from components.projects import Project, ProjectArgs
from components.safeguards import Safeguards, SafeguardsArgs
from config import versions
from config.growth import machines
from config.load import installed, load

lab, secrets = load()
proxmox_api = proxmox.Provider("proxmox", endpoint=lab.proxmox.endpoint, api_token=secrets.proxmox_api_token)
on_proxmox = pulumi.ResourceOptions(providers=[proxmox_api])
compute = Compute("compute", ComputeArgs(lab=lab), on_proxmox)
Safeguards("safeguards", SafeguardsArgs(lab=lab, machine_ids=compute.machine_ids), on_proxmox)

network = lab.firewall and Network("network", NetworkArgs(lab=lab, firewall=lab.firewall))
cluster = Cluster(
    "cluster",
    ClusterArgs(
        nodes=lab.nodes,
        domain=lab.domain,
        machine_ids=compute.machine_ids,
        addresses=compute.addresses,
        kubernetes=lab.kubernetes,
        ssh=lab.ssh,
        private_key=compute.private_key,
        protect=lab.protect,
    ),
    # Nodes fetch K3s through the firewall.
    pulumi.ResourceOptions(depends_on=[network] if network else None),
)

kubernetes_api = kubernetes.Provider("kubernetes", kubeconfig=cluster.kubeconfig, cluster_identifier=lab.name)
in_cluster = pulumi.ResourceOptions(providers=[kubernetes_api])
git = lab.gitops
argocd = ArgoCD(
    "argocd",
    ArgoCDArgs(chart_repository=git.argocd_charts, chart_version=versions.ARGOCD_CHART, version=versions.ARGOCD),
    in_cluster,
)
fence = ProjectArgs(
    argocd_namespace=argocd.namespace, repositories=[git.repository], namespaces=list(lab.applications), kinds=KINDS
)
project = Project("applications", fence, in_cluster)
channel = Channel(kubeconfig=cluster.kubeconfig, namespace=argocd.namespace, project=project.project)
apps = {
    name: App(
        name,
        AppArgs(application=application, channel=channel, repository=git.repository, revision=git.revision),
        in_cluster,
    )
    for name, application in lab.applications.items()
}

pulumi.export("api_url", cluster.api_url)
pulumi.export("nodes", {node.name: compute.addresses[node.name] for node in lab.nodes})
pulumi.export("applications", [app.application for app in apps.values()])
pulumi.export("machines", machines(lab))
pulumi.export("versions", installed(lab))
pulumi.export("kubeconfig", cluster.kubeconfig)

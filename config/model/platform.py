"""The cluster, its storage, and where Argo CD reads from."""

from pydantic import Field

from config import versions
from config.model.values import Address, Network, Section, Url

# `config.k3s_version` reads every name that this lets through.
K3S_RELEASE = r"^v1\.(0|[1-9]\d?)\.(0|[1-9]\d?)\+k3s[1-9]\d?$"

# The name of the API below the lab's domain.
API_HOST = "api"


class Kubernetes(Section):
    """The cluster's addresses, and which K3s from where."""

    api_address: Address = Field(description="a free address inside networks.nodes.cidr at which a server answers")
    version: str = Field(
        default=versions.K3S, pattern=K3S_RELEASE, description=f"a release of K3s such as {versions.K3S}"
    )
    release_url: Url = "https://github.com/k3s-io/k3s/releases/download"
    cluster_cidr: Network = Field(default=Network("10.42.0.0/16"), description="an IPv4 network for pods")
    service_cidr: Network = Field(default=Network("10.43.0.0/16"), description="an IPv4 network for services")


class Storage(Section):
    """Longhorn, on the nodes that have a disk for it."""

    replicas: int = Field(default=2, ge=1, le=5, description="copies of each volume, on as many nodes, 1 to 5")


class Gitops(Section):
    """Where Argo CD reads from."""

    repository: Url
    revision: str = Field(min_length=1, description="a branch, tag or commit of gitops.repository")
    argocd_charts: Url = "https://argoproj.github.io/argo-helm"

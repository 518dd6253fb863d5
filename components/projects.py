"""Argo CD's projects: what a group of applications may take from where, and put where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

IN_CLUSTER = "https://kubernetes.default.svc"


@dataclass(frozen=True, kw_only=True)
class ProjectArgs:
    """A fence around applications; `argocd_namespace` must be an output of `ArgoCD`, which has to outlive this.

    `kinds` are those that may be delivered, by API group: ``{"apps": ["Deployment"]}``. None of them is the cluster's.
    """

    argocd_namespace: pulumi.Input[str]
    repositories: Sequence[str]
    namespaces: Sequence[str]
    kinds: Mapping[str, Sequence[str]]


class Project(pulumi.ComponentResource):
    """Declare an AppProject."""

    project: pulumi.Output[str]

    def __init__(self, name: str, args: ProjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the project."""
        super().__init__("homelab:delivery:Project", name, None, opts)
        resource = kubernetes.apiextensions.CustomResource(
            name,
            api_version="argoproj.io/v1alpha1",
            kind="AppProject",
            metadata={"name": name, "namespace": args.argocd_namespace},
            spec={
                "sourceRepos": list(args.repositories),
                "destinations": [{"server": IN_CLUSTER, "namespace": namespace} for namespace in args.namespaces],
                # Said aloud, since Argo CD takes a missing list of a namespace's kinds for all of them.
                "clusterResourceWhitelist": [],
                "namespaceResourceWhitelist": [
                    {"group": group, "kind": kind} for group, kinds in args.kinds.items() for kind in kinds
                ],
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        # An application is refused as long as its project is not there, and on the way down as soon as it is gone.
        self.project = resource.id.apply(lambda _: name)
        self.register_outputs({"project": self.project})

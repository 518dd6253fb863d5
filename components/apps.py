"""The lab's own applications, whose manifests live in Git below `gitops/`."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.delivery import Application, ApplicationArgs, GitSource


@dataclass(frozen=True, kw_only=True)
class HubArgs:
    """Where the manifests are and which Argo CD delivers them."""

    argocd_namespace: pulumi.Input[str]
    repository: str
    revision: str


class Hub(pulumi.ComponentResource):
    """Deliver Hub into a namespace that admits nothing but restricted pods."""

    namespace: pulumi.Output[str]
    application: pulumi.Output[str]

    def __init__(self, name: str, args: HubArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the namespace and the application."""
        super().__init__("homelab:apps:Hub", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        home = kubernetes.core.v1.Namespace(
            name,
            metadata={
                "name": "hub",
                "labels": {
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=child,
        )
        self.namespace = home.metadata.apply(lambda metadata: str(metadata.name))
        delivered = Application(
            name,
            ApplicationArgs(
                argocd_namespace=args.argocd_namespace,
                namespace=self.namespace,
                source=GitSource(repository=args.repository, revision=args.revision, path="gitops/hub"),
            ),
            opts=child,
        )
        self.application = delivered.application
        self.register_outputs({"namespace": self.namespace, "application": self.application})

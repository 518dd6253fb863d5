"""The lab's own applications, whose manifests live in Git below `gitops/`."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.delivery import Application as Delivered
from components.delivery import ApplicationArgs, Channel, GitSource, Overlay
from config.model import Application
from config.workloads import Requests

# What the manifests below gitops/ are made of. No Secret: those come from the program. Nothing that grants rights.
KINDS = {
    "": ["Service", "ServiceAccount"],
    "apps": ["Deployment"],
    "networking.k8s.io": ["NetworkPolicy"],
    "policy": ["PodDisruptionBudget"],
}


@dataclass(frozen=True, kw_only=True)
class AppArgs:
    """What the lab decides about the application, where its manifests are, and by which way they are delivered."""

    application: Application
    channel: Channel
    repository: str
    revision: str


class App(pulumi.ComponentResource):
    """Deliver the folder of `gitops/` with the component's name into a namespace that admits only restricted pods."""

    namespace: pulumi.Output[str]
    application: pulumi.Output[str]

    def __init__(self, name: str, args: AppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the namespace and the application."""
        # Until 2026-11 the only application had a type of its own.
        former = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_="homelab:apps:Hub")])
        super().__init__("homelab:apps:App", name, None, pulumi.ResourceOptions.merge(former, opts))
        child = pulumi.ResourceOptions(parent=self)
        home = kubernetes.core.v1.Namespace(
            name,
            metadata={
                "name": name,
                "labels": {
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=child,
        )
        self.namespace = home.metadata.apply(lambda metadata: str(metadata.name))
        wanted = args.application
        overlay = Overlay(
            name=name, image=wanted.image, replicas=wanted.replicas, requests=Requests(wanted.cpu, wanted.memory)
        )
        source = GitSource(repository=args.repository, revision=args.revision, path=f"gitops/{name}", overlay=overlay)
        delivered = Delivered(
            name,
            ApplicationArgs(channel=args.channel, namespace=self.namespace, source=source),
            opts=child,
        )
        self.application = delivered.application
        self.register_outputs({"namespace": self.namespace, "application": self.application})

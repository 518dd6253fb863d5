"""Argo CD, and the applications that it delivers.

The program installs Argo CD and says what should run; Argo CD renders, applies and heals. No secret passes through here
but the one that Argo CD needs for its own cache.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes

from components.projects import IN_CLUSTER
from config.workloads import ARGOCD, Requests
from providers.argocd import Delivered, DeliveredArgs
from providers.generated import GeneratedToken

# Deletes what the application made before the application itself, while Argo CD still runs.
FINALIZER = "resources-finalizer.argocd.argoproj.io"
NAMESPACE = "argocd"
# What an application that names no project may do.
NOTHING: Final = {
    "sourceRepos": [],
    "destinations": [],
    "clusterResourceWhitelist": [],
    "namespaceResourceBlacklist": [{"group": "*", "kind": "*"}],
}
# A container's limit of memory, as a multiple of its request.
LIMIT = 4


@dataclass(frozen=True, kw_only=True)
class ArgoCDArgs:
    """Which chart, from where, with which Argo CD in it."""

    chart_repository: str
    chart_version: str
    version: str


class ArgoCD(pulumi.ComponentResource):
    """Install Argo CD by its Helm chart."""

    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: ArgoCDArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the namespace, the cache's password and the release."""
        super().__init__("homelab:delivery:ArgoCD", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        home = kubernetes.core.v1.Namespace(
            name,
            metadata={"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "baseline"}},
            opts=child,
        )
        password = GeneratedToken(f"{name}-redis", opts=child)
        # The chart's own job would make it, with a token that may read every secret of the namespace.
        redis = kubernetes.core.v1.Secret(
            f"{name}-redis",
            metadata={"name": "argocd-redis", "namespace": home.metadata.name},
            string_data={"auth": password.value},
            opts=child,
        )
        release = kubernetes.helm.v3.Release(
            name,
            name="argocd",
            chart="argo-cd",
            version=args.chart_version,
            repository_opts={"repo": args.chart_repository},
            namespace=home.metadata.name,
            values=_values(args),
            # An interrupted installation would otherwise leave a release that no later run can take up.
            atomic=True,
            timeout=600,
            # The chart finds the secret by its name, so no data says that it must be there first.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[redis]),
        )
        kubernetes.apiextensions.CustomResource(
            f"{name}-default-project",
            api_version="argoproj.io/v1alpha1",
            kind="AppProject",
            metadata={
                "name": "default",
                "namespace": home.metadata.name,
                # Argo CD's own server makes it where it is missing, and lets everything pass.
                "annotations": {"pulumi.com/patchForce": "true"},
            },
            spec=NOTHING,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[release]),
        )
        # Who uses the namespace needs Argo CD running in it, on the way up and on the way down.
        self.namespace = pulumi.Output.all(home.metadata.name, release.id).apply(lambda known: str(known[0]))
        self.register_outputs({"namespace": self.namespace})


def resources(requests: Requests) -> dict[str, Any]:
    """Return what a container asks for, and may use, in Kubernetes' words.

    Memory has a limit of four times the request: room for a peak, and an end to a leak. CPU has none: it would slow a
    container down while cores are idle.
    """
    return {
        "requests": {"cpu": f"{requests.cpu}m", "memory": f"{requests.memory}Mi"},
        "limits": {"memory": f"{LIMIT * requests.memory}Mi"},
    }


def _values(args: ArgoCDArgs) -> Mapping[str, Any]:
    return {
        "global": {"image": {"tag": args.version}, "networkPolicy": {"create": True}},
        "crds": {"install": True, "keep": True},
        # TLS ends at the tunnel.
        "configs": {
            "params": {"server.insecure": True},
            "cm": {"timeout.reconciliation": "60s", "users.anonymous.enabled": False, "exec.enabled": False},
            # Whoever logs in may do nothing that no rule grants.
            "rbac": {"policy.default": "", "policy.csv": ""},
        },
        "redisSecretInit": {"enabled": False},
        "dex": {"enabled": False},
        "notifications": {"enabled": False},
        **{
            component: {"replicas": replicas, "resources": resources(requests)}
            for component, (replicas, requests) in ARGOCD.items()
        },
        # Applications are made by the program; nothing generates them in the cluster.
        "applicationSet": {"replicas": 0},
    }


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What the lab decides of the Deployment ``name``, whose container has the same name, and of the image `app`.

    Without an ``image`` it is the one that Git names.
    """

    name: str
    image: str | None
    replicas: int
    requests: Requests

    def spec(self) -> dict[str, Any]:
        """Return it in Argo CD's words, which are those of Kustomize."""
        container = {"name": self.name, "resources": resources(self.requests)}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }
        target = {"kind": "Deployment", "name": self.name}
        return {
            **({"images": [f"app={self.image}"]} if self.image else {}),
            "replicas": [{"name": self.name, "count": self.replicas}],
            "patches": [{"target": target, "patch": json.dumps(deployment)}],
        }


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """A Kustomize folder of a Git repository."""

    repository: str
    revision: str
    path: str
    overlay: Overlay

    def spec(self) -> dict[str, Any]:
        """Return it in Argo CD's words."""
        return {
            "repoURL": self.repository,
            "targetRevision": self.revision,
            "path": self.path,
            "kustomize": self.overlay.spec(),
        }


@dataclass(frozen=True, kw_only=True)
class ChartSource:
    """A Helm chart with values, which are plain text for whoever reads the application: no secret belongs in them."""

    repository: str
    chart: str
    version: str
    values: Mapping[str, Any]

    def spec(self) -> dict[str, Any]:
        """Return it in Argo CD's words."""
        helm = {"releaseName": self.chart, "valuesObject": dict(self.values)}
        return {"repoURL": self.repository, "targetRevision": self.version, "chart": self.chart, "helm": helm}


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Which Argo CD delivers, within which of its projects, on the cluster that `kubeconfig` leads to.

    `namespace` must be an output of `ArgoCD`, and `project` one of `Project`: both have to outlive what is delivered.
    """

    kubeconfig: pulumi.Input[str]
    namespace: pulumi.Input[str]
    project: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class ApplicationArgs:
    """What to deliver, by which way, and into which namespace."""

    channel: Channel
    namespace: pulumi.Input[str]
    source: GitSource | ChartSource


class Application(pulumi.ComponentResource):
    """Have Argo CD deliver one source, and wait until it runs; `application` is known only then."""

    application: pulumi.Output[str]

    def __init__(self, name: str, args: ApplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the application."""
        super().__init__("homelab:delivery:Application", name, None, opts)
        resource = kubernetes.apiextensions.CustomResource(
            name,
            api_version="argoproj.io/v1alpha1",
            kind="Application",
            metadata={
                "name": name,
                "namespace": args.channel.namespace,
                "finalizers": [FINALIZER],
            },
            spec={
                "project": args.channel.project,
                "source": args.source.spec(),
                "destination": {"server": IN_CLUSTER, "namespace": args.namespace},
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": True},
                    "syncOptions": ["ServerSideApply=true"],
                    "retry": {
                        "limit": 5,
                        # What was mended in Git meanwhile is what the next try takes.
                        "refresh": True,
                        "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"},
                    },
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                # Deleting waits for the finalizer, that is, until everything that was delivered is gone.
                custom_timeouts=pulumi.CustomTimeouts(delete="10m"),
            ),
        )
        wanted = hashlib.sha256(json.dumps(args.source.spec(), sort_keys=True).encode()).hexdigest()
        delivered = Delivered(
            name,
            DeliveredArgs(
                kubeconfig=args.channel.kubeconfig,
                namespace=args.channel.namespace,
                application=resource.id.apply(lambda _: name),
                wanted=wanted,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.application = delivered.id.apply(lambda _: name)
        self.register_outputs({"application": self.application})

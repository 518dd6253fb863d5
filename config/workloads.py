"""What the lab's pods ask for: decided here once, added up by `config.capacity`, and handed to the charts as values.

Only what an operator sizes is in the model; the rest is chosen here, for a lab of some dozens of pods. A layer that
installs something takes its requests from here, so that what is added up is what the scheduler will add up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from config.model import Lab, Node

# Longhorn's setting guaranteed-instance-manager-cpu, as part of a node's cores.
INSTANCE_MANAGER_SHARE: Final = 0.12


@dataclass(frozen=True)
class Requests:
    """What one pod asks for: ``cpu`` in thousandths of a core, ``memory`` in MiB."""

    cpu: int
    memory: int


@dataclass(frozen=True)
class Workload:
    """Pods of one kind. ``volume`` is GiB for each of them, kept in ``copies`` by Longhorn."""

    name: str
    namespace: str
    requests: Requests
    replicas: int = 1
    volume: int = 0
    copies: int = 1


# The components of Argo CD's chart by their keys there, with how many pods each has.
ARGOCD: Final = {
    "controller": (1, Requests(250, 512)),
    "redis": (1, Requests(50, 64)),
    "repoServer": (2, Requests(100, 256)),
    "server": (2, Requests(50, 128)),
}


def replicated(lab: Lab) -> Iterator[Workload]:
    """Yield every workload that has a number of pods, wherever they run."""
    yield from _system()
    yield from _argocd()
    yield from _applications(lab)
    yield from _storage(lab)
    yield from _databases(lab)
    yield from _observability(lab)
    if lab.edge:
        yield Workload("cloudflared", "cloudflared", Requests(50, 64), replicas=2)


def on_node(lab: Lab, node: Node) -> Iterator[Workload]:
    """Yield what runs once on ``node`` because it is one."""
    if lab.storage:
        yield Workload("longhorn-manager", "longhorn-system", Requests(50, 128))
        yield Workload("longhorn-csi-plugin", "longhorn-system", Requests(30, 64))
    if lab.storage and node.disks.longhorn:
        share = int(node.cores * 1000 * INSTANCE_MANAGER_SHARE)
        yield Workload("instance-manager", "longhorn-system", Requests(share, 256))
    if lab.observability.metrics:
        yield Workload("node-exporter", "monitoring", Requests(20, 32))
    if lab.observability.logs:
        yield Workload("elastic-agent", "logging", Requests(100, 400))
    if lab.observability.traces:
        yield Workload("otel-agent", "tracing", Requests(50, 128))


def _system() -> Iterator[Workload]:
    """Yield what K3s brings: manifests/coredns.yaml and manifests/metrics-server in k3s-io/k3s."""
    yield Workload("coredns", "kube-system", Requests(100, 70))
    yield Workload("metrics-server", "kube-system", Requests(100, 70))


def _argocd() -> Iterator[Workload]:
    for component, (replicas, requests) in ARGOCD.items():
        yield Workload(f"argocd-{component.lower()}", "argocd", requests, replicas=replicas)


def _applications(lab: Lab) -> Iterator[Workload]:
    for name, one in lab.applications.items():
        yield Workload(name, name, Requests(one.cpu, one.memory), replicas=one.replicas)


def _storage(lab: Lab) -> Iterator[Workload]:
    if lab.storage:
        for part in ("attacher", "provisioner", "resizer", "snapshotter"):
            yield Workload(f"csi-{part}", "longhorn-system", Requests(10, 32), replicas=min(2, len(lab.nodes)))
        yield Workload("longhorn-ui", "longhorn-system", Requests(10, 32))


def _databases(lab: Lab) -> Iterator[Workload]:
    copies = lab.storage.replicas if lab.storage else 1
    if one := lab.databases.mysql:
        yield Workload("mysql", "databases", Requests(250, one.memory), volume=one.volume, copies=copies)
    if many := lab.databases.mongodb:
        yield Workload("mongodb-operator", "databases", Requests(100, 200))
        yield Workload(
            "mongodb",
            "databases",
            Requests(250, many.memory),
            replicas=many.members,
            volume=many.volume,
            # Members copy the data among themselves.
            copies=1 if many.members > 1 else copies,
        )
    if one := lab.databases.influxdb:
        yield Workload("influxdb", "databases", Requests(250, one.memory), volume=one.volume, copies=copies)


def _observability(lab: Lab) -> Iterator[Workload]:
    copies = lab.storage.replicas if lab.storage else 1
    if metrics := lab.observability.metrics:
        size = Requests(500, metrics.memory)
        yield Workload("prometheus", "monitoring", size, volume=metrics.volume, copies=copies)
        yield Workload("prometheus-operator", "monitoring", Requests(50, 128))
        yield Workload("kube-state-metrics", "monitoring", Requests(20, 64))
        yield Workload("alertmanager", "monitoring", Requests(20, 64), volume=2, copies=copies)
        yield Workload("grafana", "monitoring", Requests(100, 256), volume=5, copies=copies)
    if logs := lab.observability.logs:
        yield Workload("eck-operator", "elastic-system", Requests(100, 150))
        yield Workload(
            "elasticsearch",
            "logging",
            Requests(500, logs.memory),
            replicas=logs.nodes,
            volume=logs.volume,
            # Its nodes copy the indices among themselves.
            copies=1 if logs.nodes > 1 else copies,
        )
        yield Workload("kibana", "logging", Requests(200, 1024))
    if traces := lab.observability.traces:
        yield Workload("tempo", "tracing", Requests(200, 512), volume=traces.volume, copies=copies)
        yield Workload("otel-gateway", "tracing", Requests(100, 256), replicas=min(2, len(lab.nodes)))

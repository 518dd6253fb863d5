"""The one list of tools: what each is called and where it comes from; its version is in `config.versions`.

Nothing here runs anything. `release` describes what a publisher serves, `builds` how the same version is compiled from
its Go modules under `toolchain/go`. A tool whose publisher serves no checksum file has no release.
"""

from pathlib import Path

from config import versions
from toolchain.model import Artifact, Build, Checksums, Edit, Executable, ModuleFiles, Tool

GO_MODULES = Path(__file__).parent / "go"

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
    version=versions.ETCD,
    platforms=("linux-amd64", "linux-arm64"),
)

_HELM_ARCHIVE = Artifact(
    url="https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz",
    checksums_url="https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz.sha256sum",
    checksums=Checksums.LISTED,
    members={"{os}-{arch}/helm": "helm"},
)

_KUSTOMIZE_RELEASE = f"{_GITHUB}/kubernetes-sigs/kustomize/releases/download/kustomize%2Fv{{version}}"
_KUSTOMIZE_ARCHIVE = Artifact(
    url=f"{_KUSTOMIZE_RELEASE}/kustomize_v{{version}}_{{os}}_{{arch}}.tar.gz",
    checksums_url=f"{_KUSTOMIZE_RELEASE}/checksums.txt",
    checksums=Checksums.LISTED,
    members={"kustomize": "kustomize"},
)

_PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
_ARGOCD_MODULE = "github.com/argoproj/argo-cd/v3"
_ARGOCD = versions.ARGOCD.removeprefix("v")
_KUBERNETES_MINOR = versions.KUBERNETES.split(".")[1]

TOOLS: tuple[Tool, ...] = (
    Tool(
        # The engine takes its Python host without a warning only from beside itself: one folder, as in the release.
        name="pulumi",
        version=versions.PULUMI,
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
                module_version=f"v{versions.PULUMI}",
                package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
                output="pulumi",
                stamps={f"{_PULUMI_SDK}/go/common/version.Version": f"v{versions.PULUMI}"},
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
                # An old host: the script tells it what later engines do not.
                folder="language-python",
                module=_PULUMI_SDK,
                module_version=f"v{versions.PULUMI_PYTHON_HOST}",
                package=f"{_PULUMI_SDK}/python/cmd/pulumi-language-python",
                output="pulumi-language-python-host",
                script="pulumi-language-python",
            ),
        ),
    ),
    Tool(
        name="controlplane",
        version=versions.KUBERNETES,
        executables=(
            Executable(name="etcd", ask=("--version",), version=versions.ETCD),
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
                module_version=f"v{versions.KUBERNETES}",
                output="controlplane",
                stamps={
                    "k8s.io/component-base/version.gitVersion": f"v{versions.KUBERNETES}",
                    "k8s.io/client-go/pkg/version.gitVersion": f"v{versions.KUBERNETES}",
                    "k8s.io/component-base/version.gitMajor": "1",
                    "k8s.io/component-base/version.gitMinor": _KUBERNETES_MINOR,
                },
            ),
        ),
    ),
    Tool(
        name="kwok",
        version=versions.KWOK,
        executables=(Executable(name="kwok", ask=("--version",)),),
        builds=(
            Build(
                folder="kwok",
                module="sigs.k8s.io/kwok",
                module_version=f"v{versions.KWOK}",
                package="sigs.k8s.io/kwok/cmd/kwok",
                output="kwok",
                stamps={"sigs.k8s.io/kwok/pkg/consts.Version": f"v{versions.KWOK}"},
            ),
        ),
    ),
    Tool(
        name="helm",
        version=versions.HELM,
        executables=(Executable(name="helm", ask=("version", "--short")),),
        release=(_HELM_ARCHIVE,),
        builds=(
            Build(
                folder="helm",
                module="helm.sh/helm/v3",
                module_version=f"v{versions.HELM}",
                package="helm.sh/helm/v3/cmd/helm",
                output="helm",
                stamps={"helm.sh/helm/v3/internal/version.version": f"v{versions.HELM}"},
            ),
        ),
    ),
    Tool(
        name="kustomize",
        version=versions.KUSTOMIZE,
        executables=(Executable(name="kustomize", ask=("version",)),),
        release=(_KUSTOMIZE_ARCHIVE,),
        builds=(
            Build(
                folder="kustomize",
                module="sigs.k8s.io/kustomize/kustomize/v5",
                module_version=f"v{versions.KUSTOMIZE}",
                package="sigs.k8s.io/kustomize/kustomize/v5",
                output="kustomize",
                stamps={"sigs.k8s.io/kustomize/api/provenance.version": f"v{versions.KUSTOMIZE}"},
            ),
        ),
    ),
    Tool(
        name="argocd",
        version=_ARGOCD,
        executables=(Executable(name="argocd", ask=("version", "--client", "--short")),),
        builds=(
            Build(
                folder="argocd",
                module=_ARGOCD_MODULE,
                module_version=f"v{_ARGOCD}",
                package=f"{_ARGOCD_MODULE}/cmd",
                output="argocd",
                stamps={f"{_ARGOCD_MODULE}/common.version": _ARGOCD},
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
        version=versions.MINIREDIS,
        executables=(Executable(name="redis"),),
        builds=(
            Build(
                folder="redis",
                module="github.com/alicebob/miniredis/v2",
                module_version=f"v{versions.MINIREDIS}",
                output="redis",
            ),
        ),
    ),
    Tool(
        name="kubernetes",
        version=versions.KUBERNETES_PLUGIN,
        plugin="kubernetes",
        executables=(Executable(name="pulumi-resource-kubernetes"),),
        release=(_plugin_archive("pulumi/pulumi-kubernetes", "kubernetes"),),
        builds=(
            Build(
                folder="kubernetes",
                module="github.com/pulumi/pulumi-kubernetes/provider/v4",
                module_version=f"v{versions.KUBERNETES_PLUGIN_MODULE}",
                output="pulumi-resource-kubernetes",
                stamps={"main.version": versions.KUBERNETES_PLUGIN},
            ),
        ),
    ),
    Tool(
        name="proxmoxve",
        version=versions.PROXMOXVE_PLUGIN,
        plugin="proxmoxve",
        executables=(Executable(name="pulumi-resource-proxmoxve"),),
        release=(_plugin_archive("muhlba91/pulumi-proxmoxve", "proxmoxve"),),
        builds=(
            Build(
                folder="proxmoxve",
                module="github.com/bpg/terraform-provider-proxmox",
                module_version=f"v{versions.PROXMOXVE_PROVIDER}",
                output="pulumi-resource-proxmoxve",
                stamps={"homelab/toolchain/proxmoxve/bridge.Version": versions.PROXMOXVE_PLUGIN},
                generator="./tfgen",
            ),
        ),
    ),
)

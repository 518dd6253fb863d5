"""The processes of the control plane: etcd, API server, controller manager, scheduler, and kwok for the pods.

They run while the K3s servers that asked for them hold quorum; what a server's configuration says decides their flags.
"""

import base64
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.children import Child, Program, environment
from sandbox.cluster.health import Ready
from sandbox.cluster.kubeconfig import certificate_user, kubeconfig
from sandbox.pki import Authority, write_private
from sandbox.settings import Endpoint, Settings

ADMIN = "kubernetes-admin"
STAGES = Path(__file__).with_name("stages.yaml")


class Tools(Protocol):
    """Where the executables of the toolchain are."""

    def executable(self, name: str) -> Path: ...


@dataclass(frozen=True)
class ClusterSettings:
    """What the first server's configuration decides for the whole cluster."""

    cluster_cidr: str
    service_cidr: str
    tls_san: tuple[str, ...]
    secrets_encryption: bool


class ControlPlane:
    """The control plane of one cluster, whose data and certificates are in ``folder``."""

    def __init__(self, folder: Path, sandbox: Settings, tools: Tools) -> None:
        self.folder = folder
        self._sandbox = sandbox
        self._tools = tools
        self.authority = Authority.at(folder / "pki", "k3s-server-ca")
        self.children: list[Child] = []

    @property
    def running(self) -> bool:
        return bool(self.children) and all(child.running for child in self.children)

    @property
    def server(self) -> str:
        return f"https://{self._sandbox.kubernetes_api}"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.kubeconfig("admin", ADMIN, "system:masters")

    def kubeconfig(self, name: str, user: str, group: str = "") -> Path:
        """Return the file of a kubeconfig with a client certificate for ``user`` in ``group``."""
        pair = self.authority.issue(f"client-{name}", common_name=user, organization=group)
        path = self.folder / f"{name}.kubeconfig"
        write_private(path, kubeconfig(self.server, self.authority.certificate, certificate_user(pair)))
        return path

    async def start(self, settings: ClusterSettings) -> None:
        """Start every process in order; each is ready before the next begins.

        Raises:
            ChildError: one of them does not come up. Those before it are stopped again.
        """
        try:
            for program in (
                self._etcd(),
                self._api_server(settings),
                self._controller_manager(settings),
                self._scheduler(),
                self._kwok(settings),
            ):
                child = Child(program)
                self.children.append(child)
                await child.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the processes, last started first."""
        while self.children:
            await self.children.pop().stop()

    def forget(self) -> None:
        """Delete the cluster's data and certificates."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _program(self, name: str, arguments: Mapping[str, object], listens: Endpoint, ready: Ready) -> Program:
        flags = [f"--{key}={value}" for key, value in arguments.items()]
        return Program(
            name=name,
            arguments=[str(self._tools.executable(name)), *flags],
            environment=environment(HOME=str(self.folder)),
            log=self._sandbox.log(name),
            ready=ready,
            listens=[listens],
            folder=self.folder,
        )

    def _etcd(self) -> Program:
        endpoint, peer = self._sandbox.etcd, self._sandbox.etcd_peer
        pair = self.authority.issue("etcd", hosts=[endpoint.host])
        tls = {
            f"{prefix}{key}": value
            for prefix in ("", "peer-")
            for key, value in {
                "cert-file": pair.certificate,
                "key-file": pair.key,
                "trusted-ca-file": self.authority.certificate,
                "client-cert-auth": "true",
            }.items()
        }
        return self._program(
            "etcd",
            {
                "name": "default",
                "data-dir": self.folder / "etcd",
                "listen-client-urls": f"https://{endpoint}",
                "advertise-client-urls": f"https://{endpoint}",
                "listen-peer-urls": f"https://{peer}",
                "initial-advertise-peer-urls": f"https://{peer}",
                "initial-cluster": f"default=https://{peer}",
                "unsafe-no-fsync": "true",  # a laptop's disk is no etcd disk, and the sandbox's data is not precious
                "log-level": "warn",
                **tls,
            },
            endpoint,
            Ready(f"https://{endpoint}/health", self.authority, pair),
        )

    def _api_server(self, settings: ClusterSettings) -> Program:
        endpoint = self._sandbox.kubernetes_api
        serving = self.authority.issue(
            "kube-apiserver",
            hosts=[*settings.tls_san, "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
        )
        etcd = self.authority.issue("etcd-client", common_name="kube-apiserver")
        signing = self._service_account_key()
        arguments: dict[str, object] = {
            "etcd-servers": f"https://{self._sandbox.etcd}",
            "etcd-cafile": self.authority.certificate,
            "etcd-certfile": etcd.certificate,
            "etcd-keyfile": etcd.key,
            "bind-address": endpoint.host,
            "advertise-address": endpoint.host,
            "secure-port": endpoint.port,
            "tls-cert-file": serving.certificate,
            "tls-private-key-file": serving.key,
            "client-ca-file": self.authority.certificate,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": signing,
            "service-account-signing-key-file": signing,
            "service-cluster-ip-range": settings.service_cidr,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "anonymous-auth": "false",
            "allow-privileged": "true",
            "endpoint-reconciler-type": "none",
            "profiling": "false",
        }
        if settings.secrets_encryption:
            arguments["encryption-provider-config"] = self._encryption_configuration()
        admin = self.authority.issue("client-admin", common_name=ADMIN, organization="system:masters")
        return self._program(
            "kube-apiserver", arguments, endpoint, Ready(f"{self.server}/readyz", self.authority, admin)
        )

    def _controller_manager(self, settings: ClusterSettings) -> Program:
        endpoint = self._sandbox.controller_manager
        serving = self.authority.issue("kube-controller-manager", hosts=[endpoint.host])
        return self._program(
            "kube-controller-manager",
            {
                "kubeconfig": self.kubeconfig("controller-manager", "system:kube-controller-manager"),
                "bind-address": endpoint.host,
                "secure-port": endpoint.port,
                "tls-cert-file": serving.certificate,
                "tls-private-key-file": serving.key,
                "client-ca-file": self.authority.certificate,
                "root-ca-file": self.authority.certificate,
                "service-account-private-key-file": self._service_account_key(),
                "use-service-account-credentials": "true",
                "allocate-node-cidrs": "true",
                "cluster-cidr": settings.cluster_cidr,
                "service-cluster-ip-range": settings.service_cidr,
                "leader-elect": "false",
                "node-monitor-period": "2s",
                "node-monitor-grace-period": "20s",  # sooner than by default: a stopped machine shows within seconds
                "profiling": "false",
            },
            endpoint,
            Ready(f"https://{endpoint}/healthz", self.authority),
        )

    def _scheduler(self) -> Program:
        endpoint = self._sandbox.scheduler
        serving = self.authority.issue("kube-scheduler", hosts=[endpoint.host])
        return self._program(
            "kube-scheduler",
            {
                "kubeconfig": self.kubeconfig("scheduler", "system:kube-scheduler"),
                "bind-address": endpoint.host,
                "secure-port": endpoint.port,
                "tls-cert-file": serving.certificate,
                "tls-private-key-file": serving.key,
                "leader-elect": "false",
                "profiling": "false",
            },
            endpoint,
            Ready(f"https://{endpoint}/healthz", self.authority),
        )

    def _kwok(self, settings: ClusterSettings) -> Program:
        endpoint = self._sandbox.kwok
        serving = self.authority.issue("kwok", hosts=[endpoint.host])
        return self._program(
            "kwok",
            {
                "kubeconfig": self.kubeconfig("kwok", "kwok", "system:masters"),
                "config": STAGES,
                "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=machine",
                "cidr": settings.cluster_cidr,
                "server-address": str(endpoint),
                "tls-cert-file": serving.certificate,
                "tls-private-key-file": serving.key,
            },
            endpoint,
            Ready(f"https://{endpoint}/healthz", self.authority),
        )

    def _service_account_key(self) -> Path:
        path = self.folder / "pki" / "service-account.key"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(
                path,
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                ),
            )
        return path

    def _encryption_configuration(self) -> Path:
        path = self.folder / "encryption.yaml"
        if not path.exists():
            keys = [{"name": "aescbckey", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}]
            content = {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "EncryptionConfiguration",
                "resources": [{"resources": ["secrets"], "providers": [{"aescbc": {"keys": keys}}, {"identity": {}}]}],
            }
            write_private(path, yaml.safe_dump(content).encode())
        return path

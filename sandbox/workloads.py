"""The workloads that really run: where kwok plays a pod of Argo CD, the toolchain's Argo CD does that pod's work.

A process starts when a pod of its component is Ready, with the rights of the pod's own ServiceAccount and the password
from the Secret that the pod would read, and it ends when no such pod is Ready any more.
"""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from sandbox.children import Child, ChildError, Program, environment
from sandbox.cluster.cluster import Cluster, JoinError
from sandbox.cluster.controlplane import Tools
from sandbox.cluster.kubeconfig import kubeconfig
from sandbox.pki import Authority, write_private
from sandbox.settings import Endpoint, Settings

LOOK_EVERY: Final = 1.0
COMPONENT: Final = "app.kubernetes.io/name"
PART_OF: Final = "app.kubernetes.io/part-of=argocd"
REDIS_SECRET: Final = "argocd-redis"  # noqa: S105 - the name of a Secret
TOKEN_LIFETIME: Final = 7 * 24 * 3600

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pod:
    """What of a Ready pod decides how its process runs."""

    namespace: str
    service_account: str


class Workloads:
    """Keeps one process per component of Argo CD in step with the pods in the cluster."""

    def __init__(self, sandbox: Settings, tools: Tools, cluster: Cluster, authority: Authority) -> None:
        self._sandbox = sandbox
        self._tools = tools
        self._cluster = cluster
        self._authority = authority
        self._folder = sandbox.root / "argocd"
        self.children: dict[str, Child] = {}
        self.problem = ""
        self._task: asyncio.Task[None] | None = None
        # In the order in which they need each other.
        self._programs: dict[str, Callable[[Pod, str], Any]] = {
            "argocd-redis": self._redis,
            "argocd-repo-server": self._repo_server,
            "argocd-application-controller": self._application_controller,
        }

    def start(self) -> None:
        """Begin to look at the cluster."""
        self._task = asyncio.create_task(self._follow(), name="workloads")

    async def stop(self) -> None:
        """Stop looking, and stop every process."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for name in reversed(self._programs):
            await self._end(name)

    async def _follow(self) -> None:
        while True:
            try:
                await self._reconcile()
                self.problem = ""
            except (ApiException, ChildError, JoinError, OSError) as error:
                if str(error) != self.problem:
                    logger.warning("workloads: %s", error)
                self.problem = str(error)
            await asyncio.sleep(LOOK_EVERY)

    async def _reconcile(self) -> None:
        pods = await self._ready_pods() if self._cluster.control_plane.running else {}
        for name in reversed(self._programs):
            if name not in pods:
                await self._end(name)
        for name, make in self._programs.items():
            if name in pods and name not in self.children:
                password = await self._redis_password(pods[name].namespace)
                child = Child(await make(pods[name], password))
                self.children[name] = child
                try:
                    await child.start()
                except ChildError:
                    del self.children[name]
                    raise

    async def _end(self, name: str) -> None:
        if child := self.children.pop(name, None):
            await child.stop()

    async def _ready_pods(self) -> Mapping[str, Pod]:
        listed = await client.CoreV1Api(self._cluster.api()).list_pod_for_all_namespaces(label_selector=PART_OF)
        return {
            pod.metadata.labels[COMPONENT]: Pod(pod.metadata.namespace, pod.spec.service_account_name)
            for pod in listed.items
            if pod.metadata.deletion_timestamp is None
            and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
        }

    async def _redis_password(self, namespace: str) -> str:
        core = client.CoreV1Api(self._cluster.api())
        secret = await core.read_namespaced_secret(REDIS_SECRET, namespace)
        return base64.b64decode(secret.data["auth"]).decode()

    async def _kubeconfig(self, pod: Pod) -> Path:
        """Return a kubeconfig with a token of the pod's ServiceAccount: no more rights than the chart gave it."""
        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_LIFETIME)
        )
        answer = await client.CoreV1Api(self._cluster.api()).create_namespaced_service_account_token(
            pod.service_account, pod.namespace, request
        )
        plane = self._cluster.control_plane
        path = self._folder / f"{pod.service_account}.kubeconfig"
        user = {"token": answer.status.token}
        write_private(path, kubeconfig(plane.server, plane.authority.certificate, user, pod.namespace))
        return path

    async def _redis(self, _: Pod, password: str) -> Program:
        pair = self._authority.issue("argocd-redis", hosts=[self._sandbox.redis.host])
        return self._program(
            "argocd-redis",
            [str(self._tools.executable("redis")), str(self._sandbox.redis), str(pair.certificate), str(pair.key)],
            {"REDIS_PASSWORD": password},
            self._sandbox.redis,
        )

    async def _repo_server(self, pod: Pod, password: str) -> Program:
        endpoint, metrics = self._sandbox.repo_server, self._sandbox.repo_server_metrics
        pair = self._authority.issue("argocd-repo-server", hosts=[endpoint.host])
        tls = self._folder / "config" / "reposerver" / "tls"
        for file, source in (
            ("tls.crt", pair.certificate),
            ("tls.key", pair.key),
            ("ca.crt", self._authority.certificate),
        ):
            write_private(tls / file, source.read_bytes())
        trusted = self._folder / "tls"
        for server in (self._sandbox.git, self._sandbox.mirror):
            write_private(trusted / server.host, self._authority.certificate.read_bytes())
        return self._argocd(
            "argocd-repo-server",
            {
                "address": endpoint.host,
                "port": endpoint.port,
                "metrics-address": metrics.host,
                "metrics-port": metrics.port,
            },
            {
                "REDIS_PASSWORD": password,
                "KUBECONFIG": str(await self._kubeconfig(pod)),
                "ARGOCD_GPG_ENABLED": "false",
                "ARGOCD_TLS_DATA_PATH": str(trusted),
                "ARGOCD_SSH_DATA_PATH": str(self._subfolder("ssh")),
                "TMPDIR": str(self._subfolder("tmp")),
            },
            endpoint,
        )

    async def _application_controller(self, pod: Pod, password: str) -> Program:
        endpoint = self._sandbox.application_controller_metrics
        tls = self._folder / "config" / "controller" / "tls"
        for file in ("tls.crt", "ca.crt"):
            write_private(tls / file, self._authority.certificate.read_bytes())
        access = await self._kubeconfig(pod)
        return self._argocd(
            "argocd-application-controller",
            {
                "namespace": pod.namespace,
                "kubeconfig": access,
                "repo-server": str(self._sandbox.repo_server),
                "repo-server-strict-tls": "true",
                "metrics-port": endpoint.port,
                "app-resync": "30",
            },
            {
                "REDIS_PASSWORD": password,
                "KUBECONFIG": str(access),
                "ARGOCD_FAKE_IN_CLUSTER": "true",
                "HOMELAB_METRICS_ADDRESS": endpoint.host,
            },
            endpoint,
        )

    def _argocd(self, name: str, flags: Mapping[str, object], extra: Mapping[str, str], endpoint: Endpoint) -> Program:
        arguments = [
            str(self._tools.executable("argocd")),
            f"--redis={self._sandbox.redis}",
            "--redis-use-tls",
            f"--redis-ca-certificate={self._authority.certificate}",
            "--loglevel=warn",
        ]
        tools = ":".join(dict.fromkeys(str(self._tools.executable(t).parent) for t in ("helm", "kustomize", "argocd")))
        return self._program(
            name,
            [*arguments, *(f"--{key}={value}" for key, value in flags.items())],
            {
                "PATH": f"{tools}:{environment()['PATH']}",
                "ARGOCD_BINARY_NAME": name,
                "ARGOCD_APP_CONF_PATH": str(self._folder / "config"),
                **extra,
            },
            endpoint,
        )

    def _program(self, name: str, arguments: list[str], extra: Mapping[str, str], endpoint: Endpoint) -> Program:
        return Program(
            name=name,
            arguments=arguments,
            environment=environment(HOME=str(self._subfolder("."))) | dict(extra),
            log=self._sandbox.log(name),
            ready=lambda: _accepts(endpoint),
            listens=[endpoint],
            folder=self._folder,
        )

    def _subfolder(self, name: str) -> Path:
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


async def _accepts(endpoint: Endpoint) -> bool:
    try:
        _, writer = await asyncio.open_connection(*endpoint)
    except OSError:
        return False
    writer.close()
    return True

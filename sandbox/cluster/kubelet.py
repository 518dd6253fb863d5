"""What a machine's kubelet says to the API server: the node exists, is Ready, and its lease is fresh.

It runs no containers (kwok plays the pods). It ends with its machine, and then nothing says that the node is Ready.
"""

import asyncio
import contextlib
import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

HEARTBEAT: Final = 5.0
LEASE_NAMESPACE: Final = "kube-node-lease"
CONFLICT, NOT_FOUND = 409, 404

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeFacts:
    """What a node reports of itself; ``capacity`` in Kubernetes quantities."""

    name: str
    address: str
    kubelet_version: str
    capacity: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)


class Kubelet:
    """The heartbeat of one node, from `start` to `stop`."""

    def __init__(self, facts: NodeFacts, api: Callable[[], client.ApiClient]) -> None:
        """Take ``api`` for the client of the moment: the API server may have been restarted in between."""
        self.facts = facts
        self._api = api
        self._beat: asyncio.Task[None] | None = None

    @property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._api())

    @property
    def _leases(self) -> client.CoordinationV1Api:
        return client.CoordinationV1Api(self._api())

    async def start(self) -> None:
        """Register the node and begin to beat.

        Raises:
            ApiException: the API server refuses the node.
        """
        await self._register()
        await self._post_status(became_ready=True)
        await self._renew_lease()
        await self._report_pods_ready()
        self._beat = asyncio.create_task(self._keep_beating(), name=f"kubelet {self.facts.name}")

    async def stop(self) -> None:
        """Fall silent, without a word to the API server: that is how a machine goes."""
        if self._beat:
            self._beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beat
            self._beat = None

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                await self._renew_lease()
                await self._post_status()
            except Exception as error:  # noqa: BLE001 - the API server may be away; a kubelet keeps trying
                logger.warning("node %s: heartbeat failed: %s", self.facts.name, error or type(error).__name__)

    async def _register(self) -> None:
        facts = self.facts
        # The annotation hands the node's pods to kwok, see stages.yaml.
        metadata = client.V1ObjectMeta(
            name=facts.name,
            labels={
                "kubernetes.io/hostname": facts.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": _architecture(),
                "node.kubernetes.io/instance-type": "k3s",
                **facts.labels,
            },
            annotations={"kwok.x-k8s.io/node": "machine", "k3s.io/internal-ip": facts.address},
        )
        try:
            await self._core.create_node(client.V1Node(metadata=metadata))
        except ApiException as error:
            if error.status != CONFLICT:
                raise
            await self._core.patch_node(facts.name, client.V1Node(metadata=metadata))

    async def _post_status(self, *, became_ready: bool = False) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = self.facts
        times = {"lastHeartbeatTime": now} | ({"lastTransitionTime": now} if became_ready else {})

        def condition(kind: str, reason: str, message: str, status: str = "False") -> dict[str, str]:
            return {"type": kind, "status": status, "reason": reason, "message": message, **times}

        conditions = [
            condition("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "KubeletReady", "kubelet is posting ready status", "True"),
        ]
        status: dict[str, Any] = {
            "conditions": conditions,
            "capacity": dict(facts.capacity),
            "allocatable": dict(facts.capacity),
            "addresses": [
                {"type": "InternalIP", "address": facts.address},
                {"type": "Hostname", "address": facts.name},
            ],
            "nodeInfo": {
                "architecture": _architecture(),
                "bootID": "",
                "containerRuntimeVersion": "containerd://stand-in",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": facts.kubelet_version,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 13 (stand-in)",
                "systemUUID": "",
            },
        }
        await self._core.patch_node_status(facts.name, {"status": status})

    async def _renew_lease(self) -> None:
        name = self.facts.name
        lease = client.V1Lease(
            metadata=client.V1ObjectMeta(name=name),
            spec=client.V1LeaseSpec(holder_identity=name, lease_duration_seconds=40, renew_time=datetime.now(UTC)),
        )
        try:
            await self._leases.patch_namespaced_lease(name, LEASE_NAMESPACE, lease)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            await self._leases.create_namespaced_lease(LEASE_NAMESPACE, lease)

    async def _report_pods_ready(self) -> None:
        """Say that the pods which ran here before are Ready again, as a kubelet does after a reboot."""
        pods = await self._core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={self.facts.name}")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
        for pod in pods.items:
            conditions = {condition.type: condition.status for condition in pod.status.conditions or ()}
            if pod.status.phase == "Running" and conditions.get("Ready") != "True":
                await self._core.patch_namespaced_pod_status(
                    pod.metadata.name, pod.metadata.namespace, {"status": {"conditions": ready}}
                )


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

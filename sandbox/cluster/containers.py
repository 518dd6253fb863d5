"""What a kubelet looks at before the containers of a pod run: their volumes, images and environment.

A pod that gets through is marked as ready to start containers, and kwok plays it from there (stages.yaml). One that
does not says why in a kubelet's own words, and is tried again later.
"""

import asyncio
import base64
import contextlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from aiohttp import ClientError
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from sandbox.cluster.cluster import Cluster, JoinError
from sandbox.faults import Fault, Faults

LOOK_EVERY: Final = 0.5
TRY_AGAIN: Final = 5.0
NOT_FOUND: Final = 404
UNAUTHORIZED: Final = 401
# The form of an image's name that containerd takes (distribution/reference).
IMAGE: Final = re.compile(
    r"((?P<host>localhost|[\w-]+(\.[\w-]+)*\.[\w-]+|[\w-]+(?=:\d))(:\d+)?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
    r"(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
DOCKER_HUB: Final = "docker.io"
# The name under which Docker's own configuration keeps the credentials for it.
DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"

logger = logging.getLogger(__name__)
# An object of the Kubernetes client, which has no types.
Model = Any
# Gives the data of a Secret or ConfigMap of the pod's namespace, by kind and name; None when there is none.
Find = Callable[[str, str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class Obstacle:
    """Why a container does not run: what its status says, and the Warning that goes with it."""

    reason: str
    message: str
    event: str
    container: str = ""


@dataclass(frozen=True)
class Held:
    """A pod that does not get through: when it is tried again, on the clock of this process, and what was told."""

    until: float = 0.0
    told: str = ""


class Containers:
    """Lets the pods on machines that run begin, or says why they can't."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        """Take ``faults`` for what registries refuse, and for containers that end at once."""
        self._cluster = cluster
        self._faults = faults
        self._held: dict[str, Held] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look at the cluster."""
        self._task = asyncio.create_task(self._follow(), name="containers")

    async def stop(self) -> None:
        """Stop looking; pods stay as they are."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            try:
                if self._cluster.control_plane.running:
                    await self._look()
            except (ApiException, ClientError, JoinError, OSError) as error:
                logger.warning("containers: %s", error)
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        core = client.CoreV1Api(self._cluster.api())
        pods = await core.list_pod_for_all_namespaces(field_selector="status.phase=Pending,spec.nodeName!=")
        waiting = [pod for pod in pods.items if pod.spec.node_name in self._cluster.nodes and not is_started(pod)]
        self._held = {pod.metadata.uid: self._held.get(pod.metadata.uid, Held()) for pod in waiting}
        due = [pod for pod in waiting if self._held[pod.metadata.uid].until <= monotonic()]
        await asyncio.gather(*(self._begin(core, pod) for pod in due))

    async def _begin(self, core: client.CoreV1Api, pod: Model) -> None:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        found = await obstacle(pod, _finder(core, namespace), self._faults)
        held = self._held[pod.metadata.uid]
        if found:
            self._held[pod.metadata.uid] = Held(monotonic() + TRY_AGAIN, found.event)
        try:
            await core.patch_namespaced_pod_status(name, namespace, {"status": status(pod, found)})
            if found and found.event != held.told:
                await core.create_namespaced_event(namespace, warning(pod, found))  # type: ignore[arg-type] # it takes JSON too
        except ApiException as error:
            if error.status != NOT_FOUND:  # it may have been deleted meanwhile
                raise


def is_started(pod: Model) -> bool:
    """Tell whether a pod got through, or goes."""
    conditions = {one.type: one.status for one in pod.status.conditions or ()}
    return pod.metadata.deletion_timestamp is not None or conditions.get("PodReadyToStartContainers") == "True"


async def obstacle(pod: Model, find: Find, faults: Faults) -> Obstacle | None:
    """Return the first thing that keeps ``pod`` from running, in the order in which a kubelet meets them."""
    for volume in pod.spec.volumes or ():
        for kind, name, optional in _mounted(volume):
            if not optional and await find(kind, name) is None:
                event = f'MountVolume.SetUp failed for volume "{volume.name}" : {kind.lower()} "{name}" not found'
                return Obstacle("ContainerCreating", "", event)
    containers = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    for container in containers:
        if refused := await _pull(container, pod, find, faults):
            return refused
    for container in containers:
        if missing := await _missing(container, find):
            return Obstacle("CreateContainerConfigError", missing, f"Error: {missing}", container.name)
    if faults.strike("containers", "GET", f"{pod.metadata.namespace}/{pod.metadata.name}"):
        container = containers[-1].name
        held_up = f"back-off 10s restarting failed container={container} pod={pod.metadata.name}"
        return Obstacle("CrashLoopBackOff", held_up, "Back-off restarting failed container", container)
    return None


def _mounted(volume: Model) -> Iterator[tuple[str, str, bool]]:
    """Yield the kind and name of each object that a volume shows, and whether it may be missing."""
    for source in (volume, *(volume.projected.sources or () if volume.projected else ())):
        if secret := source.secret:
            yield "Secret", getattr(secret, "secret_name", None) or secret.name, bool(secret.optional)
        if source.config_map:
            yield "ConfigMap", source.config_map.name, bool(source.config_map.optional)


async def _pull(container: Model, pod: Model, find: Find, faults: Faults) -> Obstacle | None:
    image = container.image
    parsed = IMAGE.fullmatch(image)
    if not parsed:
        why = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference'
        return Obstacle("InvalidImageName", why, f"Error: InvalidImageName: {why}", container.name)
    fault = faults.strike("registry", "GET", image)
    host = parsed["host"] or DOCKER_HUB
    if fault is None or (fault.status == UNAUTHORIZED and host in await _registries(pod, find)):
        return None
    why = f'failed to pull and unpack image "{image}": {_refusal(fault, image)}'
    return Obstacle("ErrImagePull", why, f'Failed to pull image "{image}": {why}', container.name)


def _refusal(fault: Fault, image: str) -> str:
    if fault.status == NOT_FOUND:
        return f"failed to resolve image: {image}: not found"
    if fault.status == UNAUTHORIZED:
        return "failed to resolve image: pull access denied, repository does not exist or may require authorization"
    return f"failed to resolve image: unexpected status from HEAD request: {fault.status} {fault.message}"


async def _registries(pod: Model, find: Find) -> set[str]:
    """Return the hosts of the registries for which the pod names credentials; a Secret that is missing gives none."""
    hosts = set()
    for reference in pod.spec.image_pull_secrets or ():
        data = await find("Secret", reference.name) or {}
        config = json.loads(base64.b64decode(data.get(".dockerconfigjson", "")) or b"{}")
        hosts |= {_host(key) for key, entry in config.get("auths", {}).items() if entry.get("auth")}
    return hosts


def _host(key: str) -> str:
    return DOCKER_HUB if key == DOCKER_HUB_KEY else key.removeprefix("https://").partition("/")[0]


async def _missing(container: Model, find: Find) -> str:
    """Return what a container's environment needs and is not there."""
    for kind, name, key in _needed(container):
        data = await find(kind, name)
        if data is None:
            return f'{kind.lower()} "{name}" not found'
        if key and key not in data:
            return f"couldn't find key {key} in {kind} {name}"
    return ""


def _needed(container: Model) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and key of what the environment is made from; no key stands for all of them."""
    for source in container.env_from or ():
        for kind, reference in (("ConfigMap", source.config_map_ref), ("Secret", source.secret_ref)):
            if reference and not reference.optional:
                yield kind, reference.name, ""
    for variable in container.env or ():
        source = variable.value_from
        for kind, reference in _references(source):
            if not reference.optional:
                yield kind, reference.name, reference.key


def _references(source: Model) -> Iterable[tuple[str, Any]]:
    found = (("ConfigMap", source.config_map_key_ref), ("Secret", source.secret_key_ref)) if source else ()
    return [(kind, reference) for kind, reference in found if reference]


def _finder(core: client.CoreV1Api, namespace: str) -> Find:
    readers: Mapping[str, Callable[..., Awaitable[Model]]] = {
        "Secret": core.read_namespaced_secret,
        "ConfigMap": core.read_namespaced_config_map,
    }

    async def find(kind: str, name: str) -> Mapping[str, Any] | None:
        try:
            return (await readers[kind](name, namespace)).data or {}
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return None

    return find


def status(pod: Model, found: Obstacle | None) -> dict[str, Any]:
    """Return what is said of the pod: that its containers may start, or what keeps each of them from it.

    The pod of a Job has ended where that of a server would be started over.
    """
    ready = {"type": "PodReadyToStartContainers", "status": "False" if found else "True"}
    if not found:
        return {"conditions": [ready]}
    if found.reason == "CrashLoopBackOff" and any(owner.kind == "Job" for owner in pod.metadata.owner_references or ()):
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
        return {"phase": "Failed", "conditions": [ready], "containerStatuses": _statuses(pod.spec.containers, ended)}
    held = {found.container: {"waiting": {"reason": found.reason, "message": found.message}}}
    creating = {"waiting": {"reason": "ContainerCreating"}}
    return {
        "conditions": [ready],
        "initContainerStatuses": _statuses(pod.spec.init_containers or (), creating, held),
        "containerStatuses": _statuses(pod.spec.containers, creating, held),
    }


def _statuses(
    containers: Iterable[Model], state: Mapping[str, Any], exceptions: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "image": one.image,
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": (exceptions or {}).get(one.name, state),
        }
        for one in containers
    ]


def warning(pod: Model, found: Obstacle) -> dict[str, Any]:
    """Return the Event that a kubelet would post."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    named = {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid}
    mounting = found.reason == "ContainerCreating"
    reason = "FailedMount" if mounting else "BackOff" if found.reason == "CrashLoopBackOff" else "Failed"
    return {
        "metadata": {"generateName": f"{pod.metadata.name}."},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", **named},
        "type": "Warning",
        "reason": reason,
        "message": found.event,
        "source": {"component": "kubelet", "host": pod.spec.node_name},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }

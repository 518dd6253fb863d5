"""What keeps a pod of the sandbox from running, in a kubelet's words, and that nothing else does."""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes_asyncio import client

from sandbox.cluster.containers import Obstacle, is_started, obstacle, status, warning
from sandbox.faults import Fault, Faults

IMAGE = "ghcr.io/example/hub:1.2.3"
CREDENTIALS = {
    ".dockerconfigjson": base64.b64encode(
        json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": "eA=="}, "ghcr.io": {"auth": "eA=="}}}).encode()
    ).decode()
}
THERE: dict[tuple[str, str], dict[str, str]] = {
    ("Secret", "database"): {"password": "eA=="},
    ("ConfigMap", "settings"): {"a": "b"},
    ("Secret", "pull"): CREDENTIALS,
    ("Secret", "empty"): {},
}


class _Response:
    """What the client reads JSON from."""

    def __init__(self, data: Any) -> None:
        self.data = json.dumps(data)


def pod(image: str = IMAGE, job: bool = False, volumes: Any = (), pull: str = "", **container: Any) -> Any:  # noqa: FBT001, FBT002
    """A pod as the client gives it."""
    owner = {"apiVersion": "batch/v1", "kind": "Job" if job else "ReplicaSet", "name": "hub", "uid": "u"}
    spec = {
        "containers": [{"name": "hub", "image": image, **container}],
        "volumes": list(volumes),
        "imagePullSecrets": [{"name": pull}] if pull else [],
        "nodeName": "agent-1",
    }
    metadata = {"name": "hub-1", "namespace": "hub", "uid": "p", "ownerReferences": [owner]}
    # Without its constructor, which wants an event loop to talk over.
    reader = client.ApiClient.__new__(client.ApiClient)
    return reader.deserialize(_Response({"metadata": metadata, "spec": spec, "status": {}}), client.V1Pod)


def found(one: Any, *faults: Fault) -> Obstacle | None:
    waiting = Faults()
    for fault in faults:
        waiting.add(fault)

    async def find(kind: str, name: str) -> Mapping[str, Any] | None:
        return THERE.get((kind, name))

    return asyncio.run(obstacle(one, find, waiting))


def key(secret: str, name: str, *, optional: bool = False) -> list[Any]:
    return [{"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": name, "optional": optional}}}]


@pytest.mark.parametrize(
    ("one", "reason", "says"),
    [
        (pod(env=key("gone", "password")), "CreateContainerConfigError", 'secret "gone" not found'),
        (pod(env=key("database", "user")), "CreateContainerConfigError", "couldn't find key user in Secret database"),
        (pod(envFrom=[{"configMapRef": {"name": "gone"}}]), "CreateContainerConfigError", 'configmap "gone" not found'),
        (pod(image="Not An Image"), "InvalidImageName", "invalid reference"),
        (
            pod(volumes=[{"name": "v", "secret": {"secretName": "gone"}}]),
            "ContainerCreating",
            'MountVolume.SetUp failed for volume "v" : secret "gone" not found',
        ),
        (
            pod(volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "gone"}}]}}]),
            "ContainerCreating",
            'configmap "gone" not found',
        ),
    ],
)
def test_what_is_missing_keeps_a_pod_from_running(one: Any, reason: str, says: str) -> None:
    held = found(one)
    assert held is not None
    assert held.reason == reason
    assert says in held.event
    assert warning(one, held)["involvedObject"]["name"] == "hub-1"


@pytest.mark.parametrize(
    "one",
    [
        pod(),
        pod(env=key("database", "password")),
        pod(env=key("gone", "password", optional=True)),
        pod(envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "gone", "optional": True}}]),
        pod(volumes=[{"name": "v", "configMap": {"name": "settings"}}, {"name": "w", "emptyDir": {}}]),
        pod(volumes=[{"name": "v", "secret": {"secretName": "gone", "optional": True}}]),
        *(pod(image=image) for image in ("app", "mysql:8.4.10", "localhost/a/b@sha256:" + "0" * 64, "a.b:5000/c_d:v1")),
    ],
)
def test_nothing_else_does(one: Any) -> None:
    assert found(one) is None
    assert status(one, None) == {"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}


def test_an_image_that_a_registry_does_not_have_cannot_be_pulled() -> None:
    missing = Fault("registry", path="*:1.2.3", status=404)
    held = found(pod(), missing)
    assert held is not None
    assert (held.reason, held.container) == ("ErrImagePull", "hub")
    assert held.message.endswith(f"{IMAGE}: not found")
    (shown,) = status(pod(), held)["containerStatuses"]
    assert shown["state"]["waiting"]["reason"] == "ErrImagePull"
    assert found(pod(image="ghcr.io/example/hub:1.2.4"), missing) is None


@pytest.mark.parametrize(
    ("image", "pull", "pulled"),
    [
        (IMAGE, "pull", True),
        ("example/hub:1", "pull", True),
        ("quay.io/example/hub:1", "pull", False),
        (IMAGE, "", False),
        (IMAGE, "gone", False),
        (IMAGE, "empty", False),
    ],
)
def test_a_private_image_needs_credentials_for_its_registry(image: str, pull: str, pulled: bool) -> None:  # noqa: FBT001
    held = found(pod(image=image, pull=pull), Fault("registry", status=401))
    assert (held is None) is pulled
    assert held is None or "pull access denied" in held.message


def test_containers_that_end_at_once_are_started_over_but_for_those_of_a_job() -> None:
    fault = Fault("containers", path="hub/hub-*")
    held = found(pod(), fault)
    assert held is not None
    assert status(pod(), held)["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    ended = status(pod(job=True), held)
    assert ended["phase"] == "Failed"
    assert ended["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    assert found(pod(), Fault("containers", path="other/*")) is None


def test_a_pod_that_got_through_or_goes_is_left_alone() -> None:
    one = pod()
    assert not is_started(one)
    one.status.conditions = [client.V1PodCondition(type="PodReadyToStartContainers", status="True")]
    assert is_started(one)
    one.status.conditions = None
    one.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    assert is_started(one)

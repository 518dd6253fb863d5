"""Hub: where it is delivered to, and that its manifests hold to what that namespace asks."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.apps import Hub, HubArgs
from tests.harness import Recording, record

NAMESPACE = "kubernetes:core/v1:Namespace"
APPLICATION = "kubernetes:argoproj.io/v1alpha1:Application"
FOLDER = Path(__file__).parents[2] / "gitops" / "hub"


@pytest.fixture(scope="module")
def recording() -> Recording:
    args = HubArgs(argocd_namespace="argocd", repository="https://git.test/lab.git", revision="main")
    return record(lambda: Hub("hub", args))


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    found = [document for file in sorted(FOLDER.iterdir()) for document in yaml.safe_load_all(file.read_text())]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@pytest.fixture(scope="module")
def pod(manifests: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    return dict(manifests["Deployment", "hub"]["spec"]["template"])


def test_the_namespace_admits_restricted_pods_only(recording: Recording) -> None:
    metadata = recording.inputs(NAMESPACE)["metadata"]
    assert metadata["name"] == "hub"
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_application_goes_into_the_namespace_and_goes_first_when_it_goes(recording: Recording) -> None:
    spec = recording.inputs(APPLICATION)["spec"]
    assert spec["destination"]["namespace"] == "hub"
    assert any(NAMESPACE in urn for urn in recording.request(APPLICATION).propertyDependencies["spec"].urns)


def test_the_application_reads_the_folder_that_is_in_this_repository(recording: Recording) -> None:
    path = recording.inputs(APPLICATION)["spec"]["source"]["path"]
    assert Path(__file__).parents[2] / path == FOLDER
    assert FOLDER.is_dir()


def test_it_hands_on_its_namespace_and_its_application(recording: Recording) -> None:
    assert recording.outputs_of("homelab:apps:Hub") == {"namespace": "hub", "application": "hub"}


def test_every_manifest_leaves_the_namespace_to_the_application(
    manifests: dict[tuple[str, str], dict[str, Any]],
) -> None:
    assert not [key for key, document in manifests.items() if "namespace" in document["metadata"]]


def test_pods_hold_to_the_restricted_profile(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True


def test_pods_have_no_token_for_the_api(pod: dict[str, Any], manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert pod["spec"]["automountServiceAccountToken"] is False
    account = manifests["ServiceAccount", pod["spec"]["serviceAccountName"]]
    assert account["automountServiceAccountToken"] is False


def test_pods_say_what_they_need_and_when_they_are_well(pod: dict[str, Any]) -> None:
    for container in pod["spec"]["containers"]:
        assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


def test_the_image_is_pinned_and_renovate_knows_where_it_comes_from(pod: dict[str, Any]) -> None:
    name, _, tag = pod["spec"]["containers"][0]["image"].rpartition(":")
    assert tag[0].isdigit()
    assert f"# renovate: datasource=docker depName={name}\n" in (FOLDER / "deployment.yaml").read_text()


def test_one_machine_can_fail_or_be_drained(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    spec = manifests["Deployment", "hub"]["spec"]
    assert spec["replicas"] >= 2
    assert spec["template"]["spec"]["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    assert manifests["PodDisruptionBudget", "hub"]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_selectors_find_the_pods(
    kind: str, pod: dict[str, Any], manifests: dict[tuple[str, str], dict[str, Any]]
) -> None:
    selector = manifests[kind, "hub"]["spec"]["selector"]
    assert selector.get("matchLabels", selector) == pod["metadata"]["labels"]


def test_traffic_is_denied_but_for_the_tunnel(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    policies = {name: document["spec"] for (kind, name), document in manifests.items() if kind == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = policies["tunnel-to-hub"]["ingress"]
    assert allowed == [
        {
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cloudflared"}}}],
            "ports": [{"port": "http"}],
        }
    ]

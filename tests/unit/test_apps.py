"""An application of the lab: what the lab decides of it, and that Hub's manifests hold to what its namespace asks."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.apps import KINDS, App, AppArgs
from components.delivery import Channel
from config.model import Application
from tests.harness import Recording, record

CHANNEL = Channel(kubeconfig="SENTINEL", namespace="argocd", project="applications")
NAMESPACE = "kubernetes:core/v1:Namespace"
APPLICATION = "kubernetes:argoproj.io/v1alpha1:Application"
FOLDER = Path(__file__).parents[2] / "gitops" / "hub"


@pytest.fixture(scope="module")
def recording() -> Recording:
    args = AppArgs(
        application=Application(image="ghcr.io/example/hub:1.2.3", replicas=3, cpu=70, memory=200),
        channel=CHANNEL,
        repository="https://git.test/lab.git",
        revision="main",
    )
    return record(lambda: App("hub", args))


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    files = sorted(set(FOLDER.iterdir()) - {FOLDER / "kustomization.yaml"})
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@pytest.fixture(scope="module")
def pod(manifests: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    return dict(manifests["Deployment", "hub"]["spec"]["template"])


def test_the_project_allows_the_kinds_that_the_manifests_are_made_of_and_no_others() -> None:
    files = [file for file in FOLDER.parent.rglob("*.yaml") if file.name != "kustomization.yaml"]
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    used = {(one["apiVersion"].rpartition("/")[0].removesuffix("v1"), one["kind"]) for one in found}
    assert {(group, kind) for group, kinds in KINDS.items() for kind in kinds} == used


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
    assert recording.outputs_of("homelab:apps:App") == {"namespace": "hub", "application": "hub"}


def test_what_the_lab_decides_is_laid_over_the_manifests(recording: Recording) -> None:
    overlay = recording.inputs(APPLICATION)["spec"]["source"]["kustomize"]
    assert overlay["images"] == ["app=ghcr.io/example/hub:1.2.3"]
    assert overlay["replicas"] == [{"name": "hub", "count": 3}]
    (patch,) = overlay["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": "hub"}
    (container,) = json.loads(patch["patch"])["spec"]["template"]["spec"]["containers"]
    assert container == {
        "name": "hub",
        "resources": {"requests": {"cpu": "70m", "memory": "200Mi"}, "limits": {"memory": "800Mi"}},
    }


def test_without_an_image_of_its_own_the_lab_takes_the_one_that_git_names() -> None:
    args = AppArgs(
        application=Application(),
        channel=CHANNEL,
        repository="https://git.test/a",
        revision="b",
    )
    spec = record(lambda: App("hub", args)).inputs(APPLICATION)["spec"]
    assert "images" not in spec["source"]["kustomize"]


def test_an_application_that_had_a_type_of_its_own_is_the_same_resource(recording: Recording) -> None:
    aliases = recording.request("homelab:apps:App").aliases
    assert [alias.spec.type for alias in aliases] == ["homelab:apps:Hub"]


@pytest.mark.parametrize(
    "folder", [path for path in FOLDER.parent.iterdir() if path.is_dir()], ids=lambda path: path.name
)
def test_a_folder_lists_its_manifests_and_leaves_open_what_the_lab_decides(folder: Path) -> None:
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in folder.iterdir())
    documents = [document for name in listed for document in yaml.safe_load_all((folder / name).read_text())]
    (deployment,) = [document for document in documents if document["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert deployment["metadata"]["name"] == container["name"] == folder.name
    assert container["image"] == "app"
    assert "resources" not in container
    assert "replicas" not in deployment["spec"]


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


def test_pods_say_when_they_are_well(pod: dict[str, Any]) -> None:
    for container in pod["spec"]["containers"]:
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


def test_one_machine_can_fail_or_be_drained(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    spec = manifests["Deployment", "hub"]["spec"]
    assert Application(image="a:1").replicas >= 2
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

"""Argo CD before its applications, applications gone before Argo CD, and no secret in either's values."""

import json
from dataclasses import replace

import pulumi
import pytest

from components.delivery import (
    Application,
    ApplicationArgs,
    ArgoCD,
    ArgoCDArgs,
    Channel,
    ChartSource,
    GitSource,
    Overlay,
    resources,
)
from components.projects import Project, ProjectArgs
from config import versions
from config.workloads import ARGOCD, Requests
from tests.harness import Recording, is_secret, record

RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET = "kubernetes:core/v1:Secret"
NAMESPACE = "kubernetes:core/v1:Namespace"
PROJECT = "kubernetes:argoproj.io/v1alpha1:AppProject"
CHANNEL = Channel(kubeconfig="SENTINEL", namespace="argocd", project="all")
DELIVERED = "pulumi-python:dynamic/argocd:Delivered"
APPLICATION = "kubernetes:argoproj.io/v1alpha1:Application"
COMPUTED = {"pulumi-python:dynamic/generated:Token": {"value": "SENTINEL-redis"}}
OVERLAY = Overlay(name="hub", image="example/hub:1", replicas=2, requests=Requests(cpu=50, memory=64))
GIT = GitSource(repository="https://git.test/lab.git", revision="main", path="gitops/hub", overlay=OVERLAY)


def program() -> None:
    of_charts = ArgoCDArgs(
        chart_repository="https://charts.test", chart_version=versions.ARGOCD_CHART, version=versions.ARGOCD
    )
    argocd = ArgoCD("argocd", of_charts)
    fence = ProjectArgs(
        argocd_namespace=argocd.namespace,
        repositories=["https://git.test/lab.git"],
        namespaces=["hub", "parquet-api"],
        kinds={"": ["Service"], "apps": ["Deployment", "StatefulSet"]},
    )
    project = Project("applications", fence).project
    channel = Channel(kubeconfig="SENTINEL-kubeconfig", namespace=argocd.namespace, project=project)
    Application("hub", ApplicationArgs(channel=channel, namespace="hub", source=GIT))


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(program, outputs=COMPUTED)


def test_the_chart_and_what_runs_in_it_are_pinned(recording: Recording) -> None:
    release = recording.inputs(RELEASE)
    assert (release["chart"], release["version"]) == ("argo-cd", versions.ARGOCD_CHART)
    assert release["values"]["global"]["image"]["tag"] == versions.ARGOCD
    assert release["repositoryOpts"] == {"repo": "https://charts.test"}


def test_the_release_has_a_name_of_its_own_since_a_random_one_would_rename_every_service(recording: Recording) -> None:
    assert recording.inputs(RELEASE)["name"] == "argocd"


def test_an_interrupted_installation_leaves_no_release_that_blocks_the_next(recording: Recording) -> None:
    assert recording.inputs(RELEASE)["atomic"] is True


def test_the_caches_password_exists_before_the_chart_that_looks_for_it(recording: Recording) -> None:
    secret = recording.inputs(SECRET)
    assert secret["metadata"]["name"] == "argocd-redis"
    assert secret["stringData"] == {"auth": "SENTINEL-redis"}
    assert recording.inputs(RELEASE)["values"]["redisSecretInit"] == {"enabled": False}
    assert any(urn.endswith(f"{SECRET}::argocd-redis") for urn in recording.request(RELEASE).dependencies)


def test_the_values_hold_no_secret(recording: Recording) -> None:
    assert "SENTINEL" not in json.dumps(recording.raw_inputs(RELEASE))


def test_every_component_that_runs_says_what_it_needs(recording: Recording) -> None:
    values = recording.inputs(RELEASE)["values"]
    for component, (replicas, requests) in ARGOCD.items():
        assert values[component]["resources"] == resources(requests), component
        assert values[component]["replicas"] == replicas, component


def test_a_container_may_use_four_times_the_memory_that_it_asks_for_and_any_idle_core() -> None:
    assert resources(Requests(cpu=250, memory=512)) == {
        "requests": {"cpu": "250m", "memory": "512Mi"},
        "limits": {"memory": "2048Mi"},
    }


def test_the_namespace_admits_no_privileged_pod(recording: Recording) -> None:
    labels = recording.inputs(NAMESPACE)["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "baseline"}


def test_whoever_is_not_told_what_they_may_do_may_do_nothing(recording: Recording) -> None:
    configs = recording.inputs(RELEASE)["values"]["configs"]
    assert configs["rbac"] == {"policy.default": "", "policy.csv": ""}
    assert configs["cm"]["users.anonymous.enabled"] is False
    assert configs["cm"]["exec.enabled"] is False


def test_the_project_that_argo_cd_falls_back_to_lets_nothing_pass(recording: Recording) -> None:
    default = recording.inputs(PROJECT, "argocd-default-project")
    assert default["metadata"]["name"] == "default"
    assert default["spec"]["sourceRepos"] == default["spec"]["destinations"] == []
    assert default["spec"]["namespaceResourceBlacklist"] == [{"group": "*", "kind": "*"}]
    assert any(RELEASE in urn for urn in recording.request(PROJECT, "argocd-default-project").dependencies)


def test_a_project_allows_its_repositories_namespaces_and_kinds_and_nothing_of_the_cluster(
    recording: Recording,
) -> None:
    spec = recording.inputs(PROJECT, "applications")["spec"]
    assert spec["sourceRepos"] == ["https://git.test/lab.git"]
    assert [one["namespace"] for one in spec["destinations"]] == ["hub", "parquet-api"]
    server = recording.inputs(APPLICATION)["spec"]["destination"]["server"]
    assert {one["server"] for one in spec["destinations"]} == {server}
    assert spec["clusterResourceWhitelist"] == []
    assert [(one["group"], one["kind"]) for one in spec["namespaceResourceWhitelist"]] == [
        ("", "Service"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
    ]


def test_an_application_lives_only_while_its_project_does(recording: Recording) -> None:
    assert recording.inputs(APPLICATION)["spec"]["project"] == "applications"
    needed = recording.request(APPLICATION).propertyDependencies["spec"].urns
    assert recording.urn_of(PROJECT, "applications") in needed


def test_it_is_waited_for_and_again_for_each_other_source(recording: Recording) -> None:
    def wanted(source: GitSource) -> str:
        args = ApplicationArgs(channel=CHANNEL, namespace="hub", source=source)
        return str(record(lambda: Application("hub", args)).inputs(DELIVERED)["wanted"])

    assert recording.inputs(DELIVERED) | {"wanted": ""} == {
        "kubeconfig": "SENTINEL-kubeconfig",
        "namespace": "argocd",
        "application": "hub",
        "wanted": "",
        "__provider": recording.inputs(DELIVERED)["__provider"],
    }
    assert is_secret(recording.raw_inputs(DELIVERED)["kubeconfig"])
    assert recording.urn_of(APPLICATION) in recording.request(DELIVERED).propertyDependencies["application"].urns
    assert wanted(GIT) == recording.inputs(DELIVERED)["wanted"]
    other = replace(GIT, overlay=replace(OVERLAY, replicas=3))
    assert wanted(other) != wanted(GIT)


def test_an_application_takes_what_it_delivered_with_it_and_is_waited_for(recording: Recording) -> None:
    metadata = recording.inputs(APPLICATION)["metadata"]
    assert metadata["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    assert recording.request(APPLICATION).customTimeouts.delete == "10m"


def test_an_application_lives_only_while_argo_cd_does(recording: Recording) -> None:
    metadata = recording.request(APPLICATION).propertyDependencies["metadata"].urns
    assert any(RELEASE in urn for urn in metadata), "destroy would remove Argo CD while the finalizer still needs it"
    assert recording.inputs(APPLICATION)["metadata"]["namespace"] == "argocd"


def test_an_application_heals_itself_and_applies_on_the_server(recording: Recording) -> None:
    policy = recording.inputs(APPLICATION)["spec"]["syncPolicy"]
    assert policy["automated"] == {"prune": True, "selfHeal": True}
    assert "ServerSideApply=true" in policy["syncOptions"]


def test_manifests_come_from_a_folder_in_git(recording: Recording) -> None:
    assert recording.inputs(APPLICATION)["spec"]["source"] == {
        "repoURL": "https://git.test/lab.git",
        "targetRevision": "main",
        "path": "gitops/hub",
        "kustomize": OVERLAY.spec(),
    }


def test_a_chart_gets_its_values_as_an_object() -> None:
    source = ChartSource(repository="https://charts.test", chart="thing", version="1.2.3", values={"replicas": 2})

    def chart() -> None:
        Application("thing", ApplicationArgs(channel=CHANNEL, namespace="thing", source=source))

    assert record(chart).inputs(APPLICATION)["spec"]["source"] == {
        "repoURL": "https://charts.test",
        "targetRevision": "1.2.3",
        "chart": "thing",
        "helm": {"releaseName": "thing", "valuesObject": {"replicas": 2}},
    }


def test_both_components_hand_on_what_the_next_layer_needs(recording: Recording) -> None:
    assert recording.outputs_of("homelab:delivery:ArgoCD") == {"namespace": "argocd"}
    assert recording.outputs_of("homelab:delivery:Application") == {"application": "hub"}


def test_output_values_reach_the_destination() -> None:
    def run() -> None:
        namespace = pulumi.Output.from_input("hub")
        Application("hub", ApplicationArgs(channel=CHANNEL, namespace=namespace, source=GIT))

    assert record(run).inputs(APPLICATION)["spec"]["destination"]["namespace"] == "hub"

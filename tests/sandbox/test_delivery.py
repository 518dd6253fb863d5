"""What Git has is what runs: a commit arrives without Pulumi, a change by hand is undone, too much is refused."""

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.stack import StackError
from providers.argocd_status import WELL, Look, standing, told
from sandbox.mirror.git import snapshot
from sandbox.settings import REPOSITORY
from tests.sandbox.lab import TestLab, changed_stack, eventually

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

NOT_ALLOWED = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: everything}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
"""
SECOND = """\
apiVersion: v1
kind: Service
metadata: {name: second}
spec: {ports: [{port: 80}]}
"""
FOLDERS = sorted(path.name for path in (REPOSITORY / "gitops").iterdir())
Commit = Callable[..., None]


@pytest.fixture
def commit(provisioned: TestLab, tmp_path: Path) -> Iterator[Commit]:
    """Commit gitops/ with files added to Hub's folder, and have Argo CD look at it now and not within a minute."""

    def publish(source: Path) -> None:
        asyncio.run(snapshot(provisioned.settings.root / "homelab.git", source, "gitops"))
        now = ("argocd.argoproj.io/refresh=normal", "--overwrite", "--namespace=argocd")
        provisioned.kubectl("annotate", "applications.argoproj.io", "hub", *now)

    def changed(tag: str | None = None, **files: str) -> None:
        copy = tmp_path / "changed"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(REPOSITORY / "gitops", copy / "gitops")
        folder = copy / "gitops" / "hub"
        for name, content in files.items():
            (folder / f"{name}.yaml").write_text(content)
        text = (folder / "kustomization.yaml").read_text() + "".join(f"  - {name}.yaml\n" for name in files)
        (folder / "kustomization.yaml").write_text(re.sub("newTag: .*", f"newTag: {tag}", text) if tag else text)
        publish(copy)

    yield changed
    publish(REPOSITORY)
    eventually(lambda: standing(application(provisioned)) == WELL, 120, "hub is Synced and Healthy again")


def application(lab: TestLab) -> Any:
    return lab.kubectl("get", "applications.argoproj.io", "hub", "--namespace=argocd")


def names(lab: TestLab, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in lab.kubectl("get", kind, "--namespace=hub")["items"]}


def test_a_commit_arrives_without_pulumi_and_what_git_drops_is_pruned(provisioned: TestLab, commit: Commit) -> None:
    commit(second=SECOND)
    eventually(lambda: names(provisioned, "services") == {"hub", "second"}, 60, "the second service is there")
    commit()
    eventually(lambda: names(provisioned, "services") == {"hub"}, 60, "the second service is gone")
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_a_commit_brings_another_image_to_the_pods(provisioned: TestLab, commit: Commit) -> None:
    def images() -> set[str]:
        pods = provisioned.kubectl("get", "pods", "--namespace=hub")["items"]
        return {one["spec"]["containers"][0]["image"].rpartition(":")[2] for one in pods}

    assert images() == {"6.9.2"}
    commit(tag="other")
    eventually(lambda: images() == {"other"}, 60, "every pod has the new image, and no other pod is left")


def test_a_deployment_that_is_deleted_by_hand_comes_back(provisioned: TestLab) -> None:
    def uid() -> str:
        found = provisioned.kubectl("get", "deployments", "--namespace=hub")["items"]
        return str(found[0]["metadata"]["uid"]) if found else ""

    before = uid()
    provisioned.kubectl_says("delete", "deployment", "hub", "--namespace=hub")
    eventually(lambda: uid() not in ("", before), 60, "there is another deployment")
    eventually(lambda: standing(application(provisioned)) == WELL, 60, "hub is Synced and Healthy")


def test_what_the_project_does_not_allow_is_refused_and_it_is_told_why(provisioned: TestLab, commit: Commit) -> None:
    commit(second=SECOND, role=NOT_ALLOWED)
    refused = "ClusterRole everything: resource rbac.authorization.k8s.io:ClusterRole is not permitted in project"
    eventually(lambda: refused in told(Look(application(provisioned))), 60, "Argo CD has refused the role")
    assert told(Look(application(provisioned))).startswith("application hub is OutOfSync, ")
    roles = provisioned.kubectl("get", "clusterroles")["items"]
    assert "everything" not in {one["metadata"]["name"] for one in roles}
    assert names(provisioned, "services") == {"hub"}, "a sync that is refused in part is not carried out in part"


def test_a_folder_that_cannot_be_read_is_told_with_what_is_wrong_in_it(provisioned: TestLab, commit: Commit) -> None:
    commit(broken="apiVersion: v1\nkind: Service\nmetadata: {name: [}\n")
    eventually(lambda: "broken.yaml" in told(Look(application(provisioned))), 60, "Argo CD cannot read the folder")
    assert told(Look(application(provisioned))).startswith("application hub is Unknown, Healthy: ")


WITHOUT_A_PROJECT = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: stray, namespace: argocd}
spec:
  project: default
  source: {repoURL: https://example.com/any.git, path: any, targetRevision: main}
  destination: {server: https://kubernetes.default.svc, namespace: hub}
  syncPolicy: {automated: {}}
"""


def test_an_application_without_a_project_of_its_own_is_refused(provisioned: TestLab, tmp_path: Path) -> None:
    (tmp_path / "stray.yaml").write_text(WITHOUT_A_PROJECT)
    stray = ("applications.argoproj.io", "stray", "--namespace=argocd")
    provisioned.kubectl_says("create", f"--filename={tmp_path / 'stray.yaml'}")
    try:
        refused = "repo https://example.com/any.git is not permitted in project 'default'"
        eventually(lambda: refused in told(Look(provisioned.kubectl("get", *stray))), 60, "Argo CD refuses it")
    finally:
        provisioned.kubectl_says("delete", *stray)


WITHOUT_ITS_SECRET = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: second}
spec:
  replicas: 1
  selector: {matchLabels: {app: second}}
  template:
    metadata: {labels: {app: second}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: second
          image: example.com/second:1
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: gone, key: password}}}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""


def test_a_secret_that_is_missing_is_named_by_the_next_up(provisioned: TestLab, commit: Commit) -> None:
    commit(second=WITHOUT_ITS_SECRET)
    eventually(lambda: standing(application(provisioned)) == "Synced, Progressing", 60, "the Deployment is there")
    told_by_up = provisioned.run("lab", "up", expect=1).output
    assert "application hub is Synced, Progressing: pod second-" in told_by_up
    assert 'container second: CreateContainerConfigError: secret "gone" not found' in told_by_up


def test_an_image_that_is_nowhere_fails_the_up_with_its_name_and_the_old_pods_go_on(
    provisioned: TestLab, tmp_path: Path
) -> None:
    def no_such_image(lab: Any) -> None:
        lab["applications"]["hub"]["image"] = "ghcr.io/stefanprodan/podinfo:9.9.9"

    stack, copy = changed_stack(provisioned, tmp_path, no_such_image)
    provisioned.run("sandbox", "fault", "registry", "--path=*:9.9.9", "--status=404", "--times=1000")
    try:
        with pytest.raises(StackError) as refused:
            stack.read("up", "--yes", "--skip-preview", "--config-file", str(copy))
        assert "container hub: ErrImagePull" in str(refused.value)
        assert "ghcr.io/stefanprodan/podinfo:9.9.9: not found" in str(refused.value)
        pods = provisioned.kubectl("get", "pods", "--namespace=hub")["items"]
        well = [one for one in pods if one["status"]["phase"] == "Running"]
        assert [one["spec"]["containers"][0]["image"].rpartition(":")[2] for one in well] == ["6.9.2", "6.9.2"]
    finally:
        provisioned.run("sandbox", "fault", "--clear")
        provisioned.up()
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_api_server_takes_every_manifest_and_none_breaks_the_restricted_profile(
    provisioned: TestLab, folder: str
) -> None:
    enforced, warned = (f"pod-security.kubernetes.io/{mode}" for mode in ("enforce", "warn"))
    # In a namespace of its own: what is there already would lend its fields to what is applied over it.
    provisioned.kubectl_says("create", "namespace", "trial")
    try:
        provisioned.kubectl_says("label", "namespace", "trial", f"{enforced}=restricted", f"{warned}=restricted")
        said = provisioned.kubectl_says(
            *("apply", f"--kustomize={REPOSITORY / 'gitops' / folder}", "--namespace=trial"),
            *("--server-side", "--dry-run=server"),
        )
    finally:
        provisioned.kubectl_says("delete", "namespace", "trial")
    assert "deployment.apps/" in said
    assert "would violate PodSecurity" not in said
    labels = provisioned.kubectl("get", "namespace", folder)["metadata"]["labels"]
    assert labels[enforced] == labels[warned] == "restricted"

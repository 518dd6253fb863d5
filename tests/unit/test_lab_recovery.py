"""What a killed command leaves behind, and what is done about it before the next one."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab import recovery
from lab.recovery import abandoned_lock, end_orphans, release_lock, settle_interrupted
from lab.stack import Stack, StackError

URN = "urn:pulumi:dev::homelab::"
MACHINE = {"urn": f"{URN}proxmoxve:index/vmLegacy:VmLegacy::server-1", "type": "proxmoxve:index/vmLegacy:VmLegacy"}
NODE = {"urn": f"{URN}pulumi-python:dynamic/k3s:Node::server-1", "type": "pulumi-python:dynamic/k3s:Node"}
RELEASE = {
    "urn": f"{URN}{recovery.HELM_RELEASE}::argocd",
    "type": recovery.HELM_RELEASE,
    "inputs": {"name": "argocd", "namespace": "argocd"},
}
NAMESPACE = {
    "urn": f"{URN}{recovery.NAMESPACE}::argocd",
    "type": recovery.NAMESPACE,
    "inputs": {"metadata": {"name": "argocd"}},
}
KUBECONFIG = {
    "urn": f"{URN}{recovery.KUBECONFIG}::kubeconfig",
    "type": recovery.KUBECONFIG,
    "outputs": {"kubeconfig": {"plaintext": json.dumps("kind: Config")}},
}


@dataclass(frozen=True)
class FakeStack(Stack):
    """A stack that remembers what was asked of Pulumi, and answers from memory."""

    resources: list[Mapping[str, Any]] = field(default_factory=list)
    pending: list[Mapping[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    imported: list[Any] = field(default_factory=list)

    def read(self, *arguments: str, stdin: str | None = None, folder: Path = Path()) -> str:
        assert folder == Path()
        self.asked.append(arguments)
        if stdin is not None:
            self.imported.append(json.loads(stdin))
        if arguments[:2] != ("stack", "export"):
            return ""
        deployment: dict[str, Any] = {"resources": self.resources}
        if self.pending:
            deployment["pending_operations"] = self.pending
        return json.dumps({"version": 3, "deployment": deployment})


def stack_in(folder: Path, **known: Any) -> FakeStack:
    return FakeStack(
        "dev", {"PULUMI_BACKEND_URL": f"file://{folder}?metadata=skip"}, folder / "Pulumi.dev.yaml", **known
    )


def lock(folder: Path, pid: int, hostname: str = "", stack: str = "homelab/dev", name: str = "a") -> None:
    file = folder / ".pulumi" / "locks" / "organization" / stack / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"pid": pid, "username": "root", "hostname": hostname or socket.gethostname()}))


@pytest.fixture
def dead(tmp_path: Path) -> int:
    """The id of a process that has ended."""
    with subprocess.Popen(["true"], cwd=tmp_path) as process:
        process.wait()
    return process.pid


def test_a_lock_of_a_process_that_is_gone_is_abandoned(tmp_path: Path, dead: int) -> None:
    assert abandoned_lock(stack_in(tmp_path)) is None
    lock(tmp_path, dead)
    assert abandoned_lock(stack_in(tmp_path)) == dead


def test_a_lock_of_a_process_that_lives_or_of_another_host_is_not(tmp_path: Path, dead: int) -> None:
    lock(tmp_path, os.getpid())
    assert abandoned_lock(stack_in(tmp_path)) is None
    lock(tmp_path, dead, hostname="another-host")
    assert abandoned_lock(stack_in(tmp_path)) is None


def test_an_abandoned_lock_is_not_broken_together_with_one_that_is_held(tmp_path: Path, dead: int) -> None:
    for name in "abc":
        lock(tmp_path, dead, name=name)
    lock(tmp_path, os.getpid(), name="b")
    assert abandoned_lock(stack_in(tmp_path)) is None


@pytest.mark.parametrize("other", ["homelab/prod", "another/dev"])
def test_the_lock_of_another_stack_or_project_is_none_of_ours(tmp_path: Path, dead: int, other: str) -> None:
    lock(tmp_path, dead, stack=other)
    assert abandoned_lock(stack_in(tmp_path)) is None


def test_locks_are_looked_for_in_the_operators_home_and_in_no_remote_backend(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lock(tmp_path, dead)
    assert abandoned_lock(Stack("dev", {"PULUMI_BACKEND_URL": "file://~"}, tmp_path)) == dead
    assert abandoned_lock(Stack("dev", {"PULUMI_BACKEND_URL": f"s3://{tmp_path}"}, tmp_path)) is None


def test_releasing_breaks_the_lock_of_this_stack_only(tmp_path: Path) -> None:
    stack = stack_in(tmp_path)
    release_lock(stack)
    assert stack.asked == [("cancel", "--yes")]


def sleeper(mark: str, *command: str) -> "subprocess.Popen[bytes]":
    environment = {"HOMELAB_COMMAND": mark, "PATH": os.environ["PATH"]}
    return subprocess.Popen(command or ("sleep", "60"), env=environment, start_new_session=True)


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_what_a_killed_pulumi_left_is_ended_and_nothing_else(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    stack = stack_in(tmp_path)
    assert end_orphans(stack) == 0
    pulumi = tmp_path / "pulumi"
    pulumi.write_text("#!/bin/sh\nsleep 60 &\nwait\n")
    pulumi.chmod(0o755)
    orphan = sleeper(stack.mark)
    of_another_stack = sleeper(stack.mark + "2")
    at_work = sleeper(stack.mark, str(pulumi))
    started += [orphan, of_another_stack, at_work]
    while not (plugins := psutil.Process(at_work.pid).children()):
        pass
    try:
        assert end_orphans(stack) == 1
        assert orphan.poll() is not None
        assert of_another_stack.poll() is None
        assert at_work.poll() is None
        assert plugins[0].is_running()
    finally:
        plugins[0].kill()


def test_a_state_without_interrupted_operations_is_left_alone(tmp_path: Path) -> None:
    stack = stack_in(tmp_path, resources=[MACHINE, KUBECONFIG, RELEASE])
    assert settle_interrupted(stack, None) == []  # type: ignore[arg-type]
    assert stack.asked == [("stack", "export")]


def test_a_new_stack_has_nothing_to_settle(tmp_path: Path) -> None:
    assert settle_interrupted(stack_in(tmp_path), None) == []  # type: ignore[arg-type]


def test_what_was_being_created_is_dropped_from_the_state_and_created_again(tmp_path: Path) -> None:
    stack = stack_in(tmp_path, resources=[MACHINE], pending=[{"resource": NODE, "type": "creating"}])
    assert settle_interrupted(stack, None) == ["Node server-1: creating was interrupted"]  # type: ignore[arg-type]
    assert [arguments[:2] for arguments in stack.asked] == [("stack", "export"), ("stack", "import")]
    assert stack.imported == [{"version": 3, "deployment": {"resources": [MACHINE]}}]


def test_what_was_being_changed_or_deleted_is_read_again(tmp_path: Path) -> None:
    pending = [{"resource": MACHINE, "type": "updating"}, {"resource": NODE, "type": "deleting"}]
    stack = stack_in(tmp_path, resources=[MACHINE, NODE], pending=pending)
    lines = settle_interrupted(stack, None)  # type: ignore[arg-type]
    assert lines == ["VmLegacy server-1: updating was interrupted", "Node server-1: deleting was interrupted"]
    assert stack.asked[-1] == (
        *("refresh", "--yes", "--skip-preview", "--config-file", str(stack.config_file)),
        *("--target", MACHINE["urn"], "--target", NODE["urn"]),
    )
    assert [arguments[0] for arguments in stack.asked] == ["stack", "stack", "refresh"], "import comes before refresh"


@dataclass
class Helm:
    """A toolchain whose helm lists what it is given."""

    folder: Path

    def executable(self, name: str) -> Path:
        assert name == "helm"
        return self.folder / name

    def answer(self, releases: list[dict[str, str]], code: int = 0) -> None:
        (self.folder / "list").write_text(json.dumps(releases))
        helm = self.folder / "helm"
        helm.write_text(
            f'#!/bin/sh\necho "$*" >> {self.folder}/helm.log\n'
            f'for word; do case "$word" in --kubeconfig=*) cat "${{word#*=}}" > {self.folder}/used;\n'
            f' stat -c %a "${{word#*=}}" > {self.folder}/mode ;; esac; done\n'
            f'[ "$1" = list ] && cat {self.folder}/list && exit 0\necho release: not found >&2\nexit {code}\n'
        )
        helm.chmod(0o755)

    def commands(self) -> list[str]:
        return [line.split(" --kubeconfig")[0] for line in (self.folder / "helm.log").read_text().splitlines()]


def release(name: str, namespace: str, status: str) -> dict[str, str]:
    return {"name": name, "namespace": namespace, "status": status}


def test_a_half_made_release_is_uninstalled_and_an_operators_own_stay(tmp_path: Path) -> None:
    helm = Helm(tmp_path)
    helm.answer(
        [
            release("argocd", "argocd", "pending-install"),
            release("theirs", "argocd", "deployed"),
            release("traefik", "kube-system", "failed"),
        ]
    )
    stack = stack_in(tmp_path, resources=[MACHINE, KUBECONFIG, NAMESPACE])
    lines = settle_interrupted(stack, helm)  # type: ignore[arg-type]
    assert lines == ["Release argocd: its half-made installation is removed"]
    assert [line for line in helm.commands() if line.startswith("uninstall")] == [
        "uninstall argocd --namespace=argocd --wait"
    ]
    assert (tmp_path / "used").read_text() == "kind: Config"
    assert (tmp_path / "mode").read_text() == "600\n"


def test_a_release_that_helm_finished_and_pulumi_never_noted_is_uninstalled(tmp_path: Path) -> None:
    helm = Helm(tmp_path)
    helm.answer([release("argocd", "argocd", "deployed"), release("theirs", "argocd", "deployed")])
    stack = stack_in(tmp_path, pending=[{"type": "creating", "resource": RELEASE}], resources=[KUBECONFIG, NAMESPACE])
    settle_interrupted(stack, helm)  # type: ignore[arg-type]
    assert [line for line in helm.commands() if line.startswith("uninstall")] == [
        "uninstall argocd --namespace=argocd --wait"
    ]


def test_releases_are_left_alone_once_the_state_has_one(tmp_path: Path) -> None:
    helm = Helm(tmp_path)
    helm.answer([release("argocd", "argocd", "failed")])
    stack = stack_in(tmp_path, resources=[KUBECONFIG, RELEASE])
    assert settle_interrupted(stack, helm) == []  # type: ignore[arg-type]
    assert not (tmp_path / "helm.log").exists()


def test_a_release_that_cannot_be_removed_is_told_in_the_words_of_helm(tmp_path: Path) -> None:
    helm = Helm(tmp_path)
    helm.answer([release("argocd", "argocd", "failed")], code=1)
    stack = stack_in(tmp_path, resources=[KUBECONFIG, NAMESPACE])
    with pytest.raises(StackError, match="helm uninstall: release: not found"):
        settle_interrupted(stack, helm)  # type: ignore[arg-type]

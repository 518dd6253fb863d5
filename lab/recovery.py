"""What a killed command leaves behind: its lock, and operations of which Pulumi does not know how they ended."""

import contextlib
import json
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import psutil

from lab.cluster import cluster_programs
from lab.proxmox_state import read_targets
from lab.stack import PROJECT, Stack, StackError
from toolchain import Toolchain

HELM_RELEASE: Final = "kubernetes:helm.sh/v3:Release"
KUBECONFIG: Final = "pulumi-python:dynamic/k3s:Kubeconfig"
NAMESPACE: Final = "kubernetes:core/v1:Namespace"


def abandoned_lock(stack: Stack) -> int | None:
    """Return the process id in the stack's lock if that process is gone from this machine; local backends only.

    A lock that may be somebody's, beside one that is not, is not to be broken with it.
    """
    backend = urlparse(stack.environment["PULUMI_BACKEND_URL"])
    if backend.scheme != "file":
        return None
    folder = Path(f"{backend.netloc}{backend.path}").expanduser() / ".pulumi" / "locks"
    abandoned: int | None = None
    for file in folder.glob(f"**/{PROJECT}/{stack.name}/*.json"):
        lock = json.loads(file.read_text())
        if lock.get("hostname") != socket.gethostname() or psutil.pid_exists(int(lock["pid"])):
            return None
        abandoned = int(lock["pid"])
    return abandoned


def end_orphans(stack: Stack) -> int:
    """End what a killed Pulumi has left running, and return how many; its plugins would go on changing the lab."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, stack.mark)]
    for process in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(orphans, timeout=10)
    return len(orphans)


def _is_orphan(process: psutil.Process, mark: str) -> bool:
    try:
        marked = process.environ().get("HOMELAB_COMMAND") == mark
        return marked and "pulumi" not in {one.name() for one in (process, *process.parents())}
    except psutil.Error:
        return False


def release_lock(stack: Stack) -> None:
    """Break the lock of the stack."""
    stack.read("cancel", "--yes")


def settle_interrupted(stack: Stack, tools: Toolchain) -> list[str]:
    """Find out how the operations ended that an interrupted command had begun; return a line for each.

    A Helm release that was being installed is uninstalled, because Helm refuses to go on with one. Whatever else was
    being created is created again, which finds what is there: the Proxmox provider adopts a machine of the same id,
    objects in the cluster are applied, nodes are installed in steps that can be repeated. What was being updated or
    deleted is read again.

    Raises:
        StackError: Pulumi or Helm refuses.
    """
    exported = json.loads(stack.read("stack", "export"))
    deployment = exported["deployment"]
    pending = deployment.pop("pending_operations", None) or []
    resources = deployment.get("resources", ())
    lines = _settle_pending(stack, exported, pending) if pending else []
    kinds = {resource["type"] for resource in resources}
    if KUBECONFIG in kinds and HELM_RELEASE not in kinds:
        begun = [
            operation["resource"]["inputs"] for operation in pending if operation["resource"]["type"] == HELM_RELEASE
        ]
        ours = {resource["inputs"]["metadata"]["name"] for resource in resources if resource["type"] == NAMESPACE}
        lines += _uninstall_unfinished(stack, tools, {(one["namespace"], one["name"]) for one in begun}, ours)
    return lines


def _settle_pending(stack: Stack, exported: dict[str, Any], pending: list[dict[str, Any]]) -> list[str]:
    known = {resource["urn"] for resource in exported["deployment"]["resources"]}
    lines, to_read = [], []
    for operation in pending:
        urn = operation["resource"]["urn"]
        name = f"{operation['resource']['type'].split(':')[-1]} {urn.split('::')[-1]}"
        lines.append(f"{name}: {operation['type']} was interrupted")
        if urn in known:
            to_read.append(urn)
    stack.read("stack", "import", stdin=json.dumps(exported))
    if to_read:
        read_targets(stack, to_read)
    return lines


def _uninstall_unfinished(
    stack: Stack, tools: Toolchain, begun: set[tuple[str, str]], namespaces: set[str]
) -> list[str]:
    """Remove the releases that Helm began and Pulumi does not know; nothing else depends on them yet.

    They are those whose namespace and name are in ``begun``, however far they came, and what Helm itself calls
    unfinished in ``namespaces``, which the program made. An operator's own releases are neither.
    """
    shown = json.loads(stack.read("stack", "export", "--show-secrets"))
    kubeconfig = next(r for r in shown["deployment"]["resources"] if r["type"] == KUBECONFIG)["outputs"]["kubeconfig"]
    with cluster_programs(tools, str(json.loads(kubeconfig["plaintext"]))) as run:

        def helm(*arguments: str) -> str:
            done = run("helm", *arguments)
            if done.returncode:
                raise StackError(f"helm {arguments[0]}: {done.stderr.strip()}")
            return done.stdout

        unfinished = [
            release
            for release in json.loads(helm("list", "--all", "--all-namespaces", "--output=json"))
            if (release["namespace"], release["name"]) in begun
            or (release["namespace"] in namespaces and release["status"] != "deployed")
        ]
        for release in unfinished:
            helm("uninstall", release["name"], f"--namespace={release['namespace']}", "--wait")
    return [f"Release {release['name']}: its half-made installation is removed" for release in unfinished]

"""What a killed command leaves behind: its lock, and operations of which Pulumi does not know how they ended."""

import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import psutil

from lab.stack import Stack, StackError
from sandbox.pki import write_private
from toolchain import Toolchain

HELM_RELEASE: Final = "kubernetes:helm.sh/v3:Release"
KUBECONFIG: Final = "pulumi-python:dynamic/k3s:Kubeconfig"


def abandoned_lock(stack: Stack) -> int | None:
    """Return the process id in the stack's lock if that process is gone from this machine; local backends only."""
    backend = urlparse(stack.environment["PULUMI_BACKEND_URL"])
    if backend.scheme != "file":
        return None
    folder = Path(f"{backend.netloc}{backend.path}").expanduser() / ".pulumi" / "locks"
    for file in folder.glob(f"**/{stack.name}/*.json"):
        lock = json.loads(file.read_text())
        if lock.get("hostname") == socket.gethostname() and not psutil.pid_exists(int(lock["pid"])):
            return int(lock["pid"])
    return None


def release_lock(stack: Stack) -> None:
    """Break the lock of the stack."""
    stack.read("cancel", "--yes")


def settle_interrupted(stack: Stack, tools: Toolchain) -> list[str]:
    """Find out how the operations ended that a killed command had begun; return a line for each.

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
    if not pending:
        return []
    lines, to_read = [], []
    known = {resource["urn"] for resource in deployment["resources"]}
    for operation in pending:
        resource = operation["resource"]
        name = f"{resource['type'].split(':')[-1]} {resource['urn'].split('::')[-1]}"
        lines.append(f"{name}: {operation['type']} was interrupted")
        if resource["type"] == HELM_RELEASE and operation["type"] == "creating":
            _uninstall(stack, tools, resource["inputs"])
        elif resource["urn"] in known:
            to_read.append(resource["urn"])
    stack.read("stack", "import", stdin=json.dumps(exported))
    if to_read:
        targets = [argument for urn in to_read for argument in ("--target", urn)]
        stack.read("refresh", "--yes", "--skip-preview", "--config-file", str(stack.config_file), *targets)
    return lines


def _uninstall(stack: Stack, tools: Toolchain, release: dict[str, Any]) -> None:
    shown = json.loads(stack.read("stack", "export", "--show-secrets"))
    kubeconfigs = [r["outputs"]["kubeconfig"] for r in shown["deployment"]["resources"] if r["type"] == KUBECONFIG]
    if not kubeconfigs:
        return
    plain = kubeconfigs[0]["plaintext"] if isinstance(kubeconfigs[0], dict) else kubeconfigs[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubeconfig"
        write_private(path, json.loads(plain).encode() if plain.startswith('"') else plain.encode())
        done = subprocess.run(
            [
                str(tools.executable("helm")),
                "uninstall",
                str(release["name"]),
                f"--namespace={release['namespace']}",
                f"--kubeconfig={path}",
                "--ignore-not-found",
                "--wait",
            ],
            env={**os.environ, "HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StackError(f"the half-made Helm release {release['name']} can't be removed: {done.stderr.strip()}")

"""What the cluster knows of a node, asked on a machine by K3s' own kubectl: is it there, is it Ready, let it go."""

import json

import pulumi

from providers.ssh import Session

KUBECTL = ("sudo", "-n", "k3s", "kubectl")
KUBELET_CONFIG = "/var/lib/rancher/k3s/agent/kubelet.kubeconfig"
DRAIN_SECONDS = 120


async def readiness(session: Session, name: str, role: str) -> tuple[bool, str]:
    """Tell whether the node is Ready, and what it says about it."""
    own = () if role == "server" else ("--kubeconfig", KUBELET_CONFIG)
    # An agent has no administrator's kubeconfig; the kubelet may read its own node.
    query = (*KUBECTL, *own, "get", "node", name, "--output", "json", "--ignore-not-found")
    answer = await session.run(*query, check=False)
    if answer.status != 0:
        return False, answer.stderr.strip() or "the API does not answer"
    if not answer.stdout.strip():
        return False, "it has not registered"
    status = json.loads(answer.stdout).get("status", {})
    for condition in status.get("conditions", []):
        if condition.get("type") == "Ready":
            return condition.get("status") == "True", str(condition.get("message") or condition.get("reason") or "")
    return False, "it reports no Ready condition"


async def node_exists(peer: Session, name: str) -> bool:
    """Ask a server whether the cluster has a Node object of this name; raise `CommandError` if it cannot tell."""
    answer = await peer.run(*KUBECTL, "get", "node", name, "--output", "json", "--ignore-not-found")
    return bool(answer.stdout.strip())


async def forget(peer: Session, name: str) -> None:
    """Delete the Node object, by which K3s also drops the node's password and its etcd member."""
    await peer.run(*KUBECTL, "delete", "node", name, "--ignore-not-found", "--wait=true")


async def leave(peer: Session, name: str) -> None:
    """Move the node's pods away and take it out of the cluster; do nothing when it is out already."""
    if not await node_exists(peer, name):
        return
    pulumi.log.info(f"{name}: draining")
    await peer.run(*KUBECTL, "cordon", name)
    drain = (
        "drain",
        name,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout",
        f"{DRAIN_SECONDS}s",
    )
    await peer.run(*KUBECTL, *drain, timeout=DRAIN_SECONDS + 30.0)
    await forget(peer, name)

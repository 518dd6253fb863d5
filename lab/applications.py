"""How Argo CD's applications stand, and why not better, in Argo CD's own words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lab.cluster import Run, cluster_programs
from lab.stack import Stack, StackError
from toolchain import Toolchain

WELL: Final = "Synced, Healthy"
Application = Mapping[str, Any]


def listed(run: Run, *what: str) -> list[dict[str, Any]]:
    """Return objects of the cluster.

    Raises:
        StackError: it does not answer.
    """
    done = run("kubectl", "get", *what, "--output=json", "--request-timeout=20s")
    if done.returncode:
        raise StackError(f"the cluster does not answer: {done.stderr.strip()}")
    return list(json.loads(done.stdout)["items"])


def applications(run: Run) -> list[dict[str, Any]]:
    """Return the applications."""
    return listed(run, "applications.argoproj.io", "--namespace", "argocd")


def standing(application: Application) -> str:
    """Return whether it is as Git has it, and whether it works: ``Synced, Healthy``."""
    status = application.get("status", {})
    sync, health = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
    return f"{sync or 'not synced'}, {health or 'health unknown'}"


def reasons(application: Application) -> Iterator[str]:
    """Yield why an application stands as it does: what could not be read, what was refused, what does not work."""
    status = application.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"].endswith("Error"):
            yield _one_line(condition["message"])
    operation = status.get("operationState", {})
    refused = [one for one in operation.get("syncResult", {}).get("resources", ()) if one.get("status") == "SyncFailed"]
    for one in refused:
        yield f"{one['kind']} {one['name']}: {_one_line(one.get('message', 'was refused'))}"
    if not refused and operation.get("phase") in ("Error", "Failed"):
        yield _one_line(operation.get("message", "the last sync failed"))
    for one in status.get("resources", ()):
        health = one.get("health") or {}
        if health.get("status") in ("Degraded", "Missing") and health.get("message"):
            yield f"{one['kind']} {one['name']}: {_one_line(health['message'])}"


def why_not(stack: Stack, tools: Toolchain) -> list[str]:
    """Return a line for each application that is not well; none where the cluster cannot be asked."""
    try:
        outputs = json.loads(stack.read("stack", "output", "--json", "--show-secrets"))
        if "kubeconfig" not in outputs:
            return []
        with cluster_programs(tools, outputs["kubeconfig"]) as run:
            found = applications(run)
    except StackError:
        return []
    return [told(one) for one in found if standing(one) != WELL]


def told(application: Application) -> str:
    """Return what is wrong with an application, in one line."""
    why = "; ".join(reasons(application))
    return f"application {application['metadata']['name']} is {standing(application)}{f': {why}' if why else ''}"


def _one_line(message: str) -> str:
    return " ".join(message.split())

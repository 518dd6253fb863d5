"""How the lab stands after `up`, asked of the lab itself and not of what Pulumi believes."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Table

from lab.applications import applications, listed, problems
from lab.cluster import cluster_programs
from lab.stack import Stack
from providers.argocd_status import standing
from toolchain import Toolchain

# Kubernetes gives up the pods of a node that went away after five minutes; this is for one that came back.
SETTLES_WITHIN: Final = 120.0
LOOK_EVERY: Final = 2.0


@dataclass(frozen=True)
class Summary:
    """What the operator wants to read at the end; ``may_pass`` says that time may mend every problem."""

    layers: Mapping[str, str]
    addresses: Mapping[str, str]
    problems: tuple[str, ...]
    may_pass: bool

    def table(self, times: Mapping[str, float]) -> Table:
        """Return the summary, with the ``times`` of the steps in seconds."""
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name, value in {**self.layers, **self.addresses}.items():
            table.add_row(f"[bold]{name}[/]", value)
        spent = "\n".join(f"{seconds:.1f} s {name}" for name, seconds in times.items())
        table.add_row("[bold]Time[/]", f"{sum(times.values()):.1f} s in all\n{spent}")
        return table


def settled(stack: Stack, tools: Toolchain) -> Summary:
    """Return how the lab stands when it has come to rest: pods move for a while after a node was away.

    Raises:
        StackError: the cluster does not answer.
    """
    deadline = time.monotonic() + SETTLES_WITHIN
    while (summary := summarise(stack, tools)).problems and summary.may_pass and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
    return summary


def summarise(stack: Stack, tools: Toolchain) -> Summary:
    """Ask Pulumi's state for the resources, and the cluster for its nodes and applications.

    Raises:
        StackError: the cluster does not answer.
    """
    outputs = json.loads(stack.read("stack", "output", "--json", "--show-secrets"))
    deployment = json.loads(stack.read("stack", "export"))["deployment"]
    kinds = Counter(resource["type"] for resource in deployment.get("resources", ()))
    hosts = {r["inputs"].get("nodeName") for r in deployment["resources"] if r["type"].endswith(":VmLegacy")}
    with cluster_programs(tools, outputs["kubeconfig"]) as run:
        nodes = listed(run, "nodes")
        delivered = applications(run)
        unwell, may_pass = problems(run, delivered)
    ready = [node for node in nodes if _is_ready(node)]
    missing = sorted(outputs["nodes"].keys() - {node["metadata"]["name"] for node in nodes})
    versions = sorted({node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes})
    faults = [f"only {len(ready)} of {len(nodes)} nodes are Ready"] if len(ready) < len(nodes) else []
    faults += [f"node {name} is not in the cluster" for name in missing]
    return Summary(
        layers={
            "Infrastructure": f"{kinds['proxmoxve:index/vmLegacy:VmLegacy']} machines on {len(hosts)} hosts",
            "Platform": f"{len(ready)} of {len(nodes)} nodes Ready, {', '.join(versions)}",
            "Services": f"Argo CD with {len(delivered)} application{'s' if len(delivered) != 1 else ''}",
            "Applications": ", ".join(f"{one['metadata']['name']} {standing(one)}" for one in delivered) or "none",
        },
        addresses={
            "Kubernetes": outputs["api_url"],
            "Nodes": "\n".join(f"{name} {address}" for name, address in outputs["nodes"].items()),
        },
        problems=(*faults, *unwell),
        may_pass=may_pass,
    )


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

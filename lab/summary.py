"""How the lab stands after `up`, asked of the lab itself and not of what Pulumi believes."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from lab.applications import WELL, applications, listed, standing, told
from lab.cluster import cluster_programs
from lab.stack import Stack
from toolchain import Toolchain


@dataclass(frozen=True)
class Summary:
    """What the operator wants to read at the end."""

    layers: Mapping[str, str]
    addresses: Mapping[str, str]
    problems: tuple[str, ...]

    def table(self, times: Mapping[str, float]) -> Table:
        """Return the summary, with the ``times`` of the steps in seconds."""
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name, value in {**self.layers, **self.addresses}.items():
            table.add_row(f"[bold]{name}[/]", value)
        spent = "\n".join(f"{seconds:.1f} s {name}" for name, seconds in times.items())
        table.add_row("[bold]Time[/]", f"{sum(times.values()):.1f} s in all\n{spent}")
        return table


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
    ready = [node for node in nodes if _is_ready(node)]
    missing = sorted(outputs["nodes"].keys() - {node["metadata"]["name"] for node in nodes})
    versions = sorted({node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes})
    problems = [f"only {len(ready)} of {len(nodes)} nodes are Ready"] if len(ready) < len(nodes) else []
    problems += [f"node {name} is not in the cluster" for name in missing]
    problems += [told(one) for one in delivered if standing(one) != WELL]
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
        problems=tuple(problems),
    )


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

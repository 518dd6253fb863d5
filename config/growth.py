"""Disks that exist only grow: Proxmox shrinks none, and one that is taken away takes its data with it."""

from collections.abc import Iterator, Mapping
from typing import Any

from config.faults import Fault
from config.model import Lab


def machines(lab: Lab) -> dict[str, dict[str, Any]]:
    """Return each machine's id and disks in GiB by its name: an output of the stack, read again by the next run."""
    return {node.name: {"vm_id": node.vm_id, "disks": node.disks.model_dump(exclude_none=True)} for node in lab.nodes}


def growth_faults(before: Mapping[str, Any], lab: Lab) -> Iterator[Fault]:
    """Yield each disk of ``lab`` that is smaller than in ``before``, which is what `machines` was, or gone.

    A machine with another id is another machine.
    """
    for index, node in enumerate(lab.nodes):
        known = before.get(node.name, {})
        if known.get("vm_id") != node.vm_id:
            continue
        for name, size in known.get("disks", {}).items():
            path = f"lab.nodes[{index}].disks.{name}"
            wanted = getattr(node.disks, name, None)
            if wanted is None:
                problem = f"is gone, and with it the data on the {size:.0f} GiB that {node.name} has there"
                yield Fault(path, None, problem, _another(f"give it {size:.0f} again"))
            elif wanted < size:
                problem = f"is smaller than the {size:.0f} GiB that {node.name} has, and disks only grow"
                yield Fault(path, wanted, problem, _another(f"use {size:.0f} or more"))


def _another(keep: str) -> str:
    return f"{keep}, or replace the machine by one with another name and vm_id"

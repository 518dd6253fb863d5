"""Whether a lab fits, as tables: machines in hosts, pods in nodes, volumes on disks. Only the stack's file is asked."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group
from rich.table import Table

from config.capacity import Capacity, Placement, Usage, measure
from config.model import Lab
from config.workloads import Workload, on_node, replicated

CROWDED = 0.8
BAR = 20


def tables(lab: Lab) -> Group:
    """Return what `make plan` shows of ``lab``."""
    capacity = measure(lab)
    shown = [_workloads(lab), _hosts(capacity), _placements("Pods in nodes", capacity.pods)]
    if lab.storage:
        shown.append(_placements("Volumes on disks", capacity.volumes))
    return Group(*(part for table in shown for part in (table, "")))


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in texts:
        table.add_column(column, no_wrap=True)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _hosts(capacity: Capacity) -> Table:
    table = _table("Machines in hosts", ["host", "of"], ["asked", "there", "used"])
    for usage in capacity.hosts:
        table.add_row(usage.where, usage.what, *_amounts(usage))
    return table


def _placements(title: str, placements: Sequence[Placement]) -> Table:
    """Show the sums with everything there, and those of the loss that leaves the least room."""
    table = _table(title, ["with", "of"], ["asked", "there", "used"])
    whole, *losses = placements
    rows = [("everything there", whole)]
    if losses:
        worst = max(losses, key=lambda one: max(usage.asked / max(1, usage.there) for usage in _sums(one.usages)))
        rows.append((f"{worst.lost} lost", worst))
    for name, placement in rows:
        for usage in _sums(placement.usages):
            table.add_row(name, usage.what, *_amounts(usage))
    return table


def _sums(usages: Iterable[Usage]) -> Iterator[Usage]:
    by_kind: defaultdict[tuple[str, str], list[Usage]] = defaultdict(list)
    for usage in usages:
        by_kind[usage.what, usage.unit].append(usage)
    for (what, unit), some in by_kind.items():
        yield Usage("", what, unit, sum(one.asked for one in some), sum(one.there for one in some))


def _workloads(lab: Lab) -> Table:
    table = _table("Workloads, for each pod", ["namespace", "name"], ["pods", "cpu", "memory", "volume", "copies"])
    everywhere: defaultdict[tuple[str, str], list[Workload]] = defaultdict(list)
    for node in lab.nodes:
        for one in on_node(lab, node):
            everywhere[one.namespace, one.name].append(one)
    # What runs on nodes may ask for more on a larger one: shown is the most.
    largest = [max(some, key=lambda one: one.requests.cpu) for some in everywhere.values()]
    counted = [(one, len(everywhere[one.namespace, one.name])) for one in largest]
    counted += [(one, one.replicas) for one in replicated(lab)]
    for one, pods in sorted(counted, key=lambda row: (row[0].namespace, row[0].name)):
        volume = (f"{one.volume} GiB", str(one.copies)) if one.volume else ("", "")
        size = (f"{one.requests.cpu} m", f"{one.requests.memory} MiB")
        table.add_row(one.namespace, one.name, str(pods), *size, *volume)
    return table


def _amounts(usage: Usage) -> tuple[str, str, str]:
    share = usage.asked / usage.there if usage.there else float(usage.asked > 0)
    colour = "red" if not usage.fits else "yellow" if share > CROWDED else "green"
    full = min(BAR, round(share * BAR))
    bar = f"[{colour}]{'█' * full}{'░' * (BAR - full)} {share:>4.0%}[/]"
    return f"{usage.asked} {usage.unit}", f"{usage.there} {usage.unit}", bar

"""Whether the lab fits: machines into hosts, pods into nodes with one of them lost, volumes onto disks.

Placing goes largest first, to where most room is, as the scheduler and Longhorn do: what finds a place so does fit, and
what does not might with luck.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from config.faults import Fault
from config.model import Host, Lab, Node
from config.workloads import Workload, on_node, replicated

# https://pve.proxmox.com/pve-docs/chapter-pve-installation.html, system requirements: 2 GB for the OS and the services.
HOST_MEMORY: Final = 2048
# https://docs.k3s.io/reference/resource-profiling, rounded up, with an operating system beside it.
SYSTEM_MEMORY: Final = {"server": 2048, "agent": 512}
SYSTEM_CPU: Final = {"server": 500, "agent": 100}
# Longhorn's setting storage-minimal-available-percentage: it puts nothing onto a disk that has less left.
DISK_RESERVE: Final = 0.10
# From here on the loss of a node is something that a lab is built to survive.
SURVIVES_FROM: Final = 3


@dataclass(frozen=True)
class Usage:
    """How much is asked for, of how much there is."""

    where: str
    what: str
    unit: str
    asked: int
    there: int

    @property
    def fits(self) -> bool:
        return self.asked <= self.there


@dataclass(frozen=True)
class Placement:
    """Where everything goes, with the node ``lost`` missing, and what finds no place."""

    lost: str | None
    usages: tuple[Usage, ...]
    homeless: tuple[str, ...]


@dataclass(frozen=True)
class Capacity:
    """The sizes of a lab, added up. The first placement of each kind is that with nothing lost."""

    hosts: tuple[Usage, ...]
    pods: tuple[Placement, ...]
    volumes: tuple[Placement, ...]


@dataclass
class _Bin:
    """What is left of a node or a disk, by resource."""

    name: str
    left: dict[str, int]
    there: Mapping[str, int]

    def takes(self, size: Mapping[str, int]) -> bool:
        return all(self.left[resource] >= amount for resource, amount in size.items())

    def put(self, size: Mapping[str, int]) -> None:
        for resource, amount in size.items():
            self.left[resource] -= amount


@dataclass(frozen=True)
class _Item:
    """Equal things that go to different bins, ``count`` of them."""

    name: str
    count: int
    size: Mapping[str, int]


def measure(lab: Lab) -> Capacity:
    """Add up the sizes of ``lab``."""
    return Capacity(
        hosts=tuple(_hosts(lab)),
        pods=tuple(_pods(lab, lost) for lost in _losses(lab.nodes, lab)),
        volumes=tuple(_volumes(lab, lost) for lost in _disk_losses(lab)),
    )


def capacity_faults(lab: Lab) -> Iterator[Fault]:
    """Yield what does not fit."""
    capacity = measure(lab)
    yield from _host_faults(lab, capacity.hosts)
    yield from _placement_faults(
        capacity.pods,
        "lab.nodes",
        "no node has room for",
        "give nodes more cores or memory, add one, or make what the pods ask for smaller",
    )
    yield from _placement_faults(
        capacity.volumes,
        "lab.storage",
        "no disk has room for the volumes of",
        "make disks.longhorn larger, give more nodes one, or make volumes or storage.replicas smaller",
    )


def _hosts(lab: Lab) -> Iterator[Usage]:
    overcommit = lab.proxmox.overcommit
    for host in lab.proxmox.hosts:
        nodes = [node for node in lab.nodes if node.host == host.name]
        cores = sum(node.cores for node in nodes)
        memory = sum(node.memory for node in nodes)
        yield Usage(host.name, "cores", "vCPU", cores, int(host.cores * overcommit.cpu))
        yield Usage(host.name, "memory", "MiB", memory, int((host.memory - HOST_MEMORY) * overcommit.memory))
        yield Usage(host.name, lab.proxmox.disks, "GiB", sum(map(disk_of, nodes)), _datastore(lab, host))


def disk_of(node: Node) -> int:
    """Return the GiB of all disks of a machine."""
    return node.disks.system + (node.disks.etcd or 0) + (node.disks.longhorn or 0)


def _datastore(lab: Lab, host: Host) -> int:
    return int(host.datastores.get(lab.proxmox.disks, 0) * lab.proxmox.overcommit.disk)


def _losses(nodes: Sequence[Node], lab: Lab) -> Iterator[str | None]:
    yield None
    if len(lab.servers) >= SURVIVES_FROM:
        yield from (node.name for node in nodes)


def _disk_losses(lab: Lab) -> Iterator[str | None]:
    """With as many disks as copies there is nothing to rebuild a lost copy on, and volumes go on with one less."""
    yield None
    if lab.storage and len(lab.storage_nodes) > lab.storage.replicas:
        yield from (node.name for node in lab.storage_nodes)


def _pods(lab: Lab, lost: str | None) -> Placement:
    bins, homeless = [], []
    for node in lab.nodes:
        if node.name == lost:
            continue
        there = {
            "cpu": max(0, node.cores * 1000 - SYSTEM_CPU[node.role]),
            "memory": max(0, node.memory - SYSTEM_MEMORY[node.role]),
        }
        bins.append(_Bin(node.name, dict(there), there))
        for workload in on_node(lab, node):
            if bins[-1].takes(_size(workload)):
                bins[-1].put(_size(workload))
            else:
                homeless.append(f"{workload.name} on {node.name}")
    items = [_Item(one.name, _pods_left(one, lost), _size(one)) for one in replicated(lab)]
    homeless += _place(items, bins, by="memory")
    usages = [*_usages(bins, "memory", "MiB"), *_usages(bins, "cpu", "m")]
    return Placement(lost, tuple(usages), tuple(homeless))


def _pods_left(workload: Workload, lost: str | None) -> int:
    """Leave out the pod on the lost node if its volume has no second copy: it waits, and the others have its data."""
    waits = lost is not None and workload.volume > 0 and workload.copies == 1 and workload.replicas > 1
    return workload.replicas - waits


def _size(workload: Workload) -> dict[str, int]:
    return {"cpu": workload.requests.cpu, "memory": workload.requests.memory}


def _volumes(lab: Lab, lost: str | None) -> Placement:
    bins = []
    for node in lab.storage_nodes:
        there = {"disk": int((node.disks.longhorn or 0) * (1 - DISK_RESERVE))}
        bins.append(_Bin(node.name, dict(there), there))
    bins = [one for one in bins if one.name != lost]
    # Either the software keeps copies or Longhorn does; each of them goes to a node of its own.
    items = [
        _Item(one.name, max(_pods_left(one, lost), one.copies), {"disk": one.volume})
        for one in replicated(lab)
        if one.volume
    ]
    homeless = _place(items, bins, by="disk")
    return Placement(lost, tuple(_usages(bins, "disk", "GiB")), tuple(homeless))


def _place(items: Iterable[_Item], bins: Sequence[_Bin], by: str) -> list[str]:
    """Put each item's parts into different bins, the emptiest first; return the names of those that stay out.

    More copies than bins are no fault of the sizes: while a node is away, what was on it waits.
    """
    homeless = []
    for item in sorted(items, key=lambda one: one.size[by], reverse=True):
        taken: set[str] = set()
        for _ in range(min(item.count, len(bins))):
            fitting = [one for one in bins if one.name not in taken and one.takes(item.size)]
            if not fitting:
                homeless.append(item.name)
                break
            chosen = max(fitting, key=lambda one: one.left[by])
            chosen.put(item.size)
            taken.add(chosen.name)
    return homeless


def _usages(bins: Iterable[_Bin], what: str, unit: str) -> Iterator[Usage]:
    for one in bins:
        yield Usage(one.name, what, unit, one.there[what] - one.left[what], one.there[what])


def _host_faults(lab: Lab, usages: Iterable[Usage]) -> Iterator[Fault]:
    index = {host.name: position for position, host in enumerate(lab.proxmox.hosts)}
    setting = {"cores": "cpu", "memory": "memory"}
    for usage in usages:
        if usage.fits:
            continue
        key = usage.what if usage.what in setting else f"datastores.{usage.what}"
        nodes = ", ".join(node.name for node in lab.nodes if node.host == usage.where)
        problem = f"machines ask for {usage.asked} {usage.unit}, and there are {usage.there} to give away"
        overcommit = f"proxmox.overcommit.{setting.get(usage.what, 'disk')}"
        fix = f"make {nodes} smaller, move one to another host, or raise {overcommit}"
        yield Fault(f"lab.proxmox.hosts[{index[usage.where]}].{key}", None, problem, fix)


def _placement_faults(placements: Iterable[Placement], path: str, problem: str, fix: str) -> Iterator[Fault]:
    """Report only the first that fails: if it does not fit with everything there, no loss has to be told of."""
    for placement in placements:
        if placement.homeless:
            when = f"when {placement.lost} is lost, " if placement.lost else ""
            yield Fault(path, None, f"{when}{problem} {', '.join(placement.homeless)}", fix)
            return

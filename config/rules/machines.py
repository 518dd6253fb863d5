"""Rules of hosts and machines: what must be unique, what must exist, and what must survive the loss of a host."""

from collections import Counter
from collections.abc import Iterator

from config.faults import Fault
from config.rules.parts import Parts

# etcd keeps a majority only in these sizes without paying for a member that adds no safety.
SERVER_COUNTS = (1, 3, 5)
# https://docs.k3s.io/installation/requirements: what a server asks for.
SERVER_CORES = 2
SERVER_MEMORY = 2048


def machine_rules(parts: Parts) -> Iterator[Fault]:
    """Yield what is wrong between hosts and machines."""
    yield from _unique(parts)
    yield from _hosts(parts)
    yield from _datastores(parts)
    yield from _servers(parts)
    yield from _storage_disks(parts)
    yield from _high_availability(parts)


def _unique(parts: Parts) -> Iterator[Fault]:
    for key in ("name", "vm_id", "address", "mac"):
        first: dict[object, int] = {}
        for index, node in parts.nodes.items():
            value = getattr(node, key)
            if value in first:
                problem = f"is also that of nodes[{first[value]}]"
                yield Fault(f"lab.nodes[{index}].{key}", value, problem, f"give each node its own {key}")
            first.setdefault(value, index)
    names: dict[str, int] = {}
    for index, host in parts.hosts.items():
        if host.name in names:
            problem = f"is also that of proxmox.hosts[{names[host.name]}]"
            yield Fault(f"lab.proxmox.hosts[{index}].name", host.name, problem, "list each host once")
        names.setdefault(host.name, index)


def _hosts(parts: Parts) -> Iterator[Fault]:
    if not parts.all_hosts:
        return
    names = [host.name for host in parts.hosts.values()]
    for index, node in parts.nodes.items():
        if node.host not in names:
            fix = f"use one of {', '.join(names)}, or add it to proxmox.hosts"
            yield Fault(f"lab.nodes[{index}].host", node.host, "is not in proxmox.hosts", fix)


def _datastores(parts: Parts) -> Iterator[Fault]:
    if parts.proxmox is None:
        return
    used = {node.host for node in parts.nodes.values()}
    for key in ("images", "disks"):
        name = getattr(parts.proxmox, key)
        for index, host in parts.hosts.items():
            if host.name in used and name not in host.datastores:
                path = f"lab.proxmox.hosts[{index}].datastores"
                fix = f"add {name} with the GiB that this lab may use, or correct proxmox.{key}"
                yield Fault(path, None, f"lacks {name}, which proxmox.{key} names", fix)


def _servers(parts: Parts) -> Iterator[Fault]:
    servers = {index: node for index, node in parts.nodes.items() if node.role == "server"}
    for index, node in servers.items():
        for key, least, unit in (("cores", SERVER_CORES, "cores"), ("memory", SERVER_MEMORY, "MiB")):
            value = getattr(node, key)
            if value < least:
                problem = "is too small for a server"
                yield Fault(f"lab.nodes[{index}].{key}", value, problem, f"give it {least} {unit} or more")
    if not parts.all_nodes:
        return
    if len(servers) not in SERVER_COUNTS:
        fix = "have 1, 3 or 5 nodes with role server: etcd needs an odd number to keep a majority"
        yield Fault("lab.nodes", None, f"{len(servers)} servers", fix)
        return
    most = max(1, (len(servers) - 1) // 2)
    for host, count in Counter(node.host for node in servers.values()).items():
        if count > most:
            problem = f"{count} of {len(servers)} servers are on host {host}, whose loss would stop the cluster"
            yield Fault("lab.nodes", None, problem, f"put at most {most} on each host, or run a single server")


def _high_availability(parts: Parts) -> Iterator[Fault]:
    if parts.proxmox is None or not parts.proxmox.datacenter.high_availability:
        return
    path, hosts = "lab.proxmox.datacenter.high_availability", len(parts.proxmox.hosts)
    servers = sum(node.role == "server" for node in parts.nodes.values())
    if hosts == 1:
        yield Fault(path, None, "has one host, and nowhere to move a machine to", "remove it, or add a host")
    elif parts.all_nodes and servers > hosts:
        problem = f"cannot keep {servers} servers apart on {hosts} hosts"
        yield Fault(path, None, problem, f"have {servers} hosts or fewer servers, or remove it")


def _storage_disks(parts: Parts) -> Iterator[Fault]:
    holders = [index for index, node in parts.nodes.items() if node.disks.longhorn is not None]
    for index, node in parts.nodes.items():
        if node.role == "agent" and node.disks.etcd is not None:
            path = f"lab.nodes[{index}].disks.etcd"
            yield Fault(path, node.disks.etcd, "is a disk for etcd on an agent", "remove it; only servers run etcd")
    if not parts.has("storage"):
        for index in holders:
            path = f"lab.nodes[{index}].disks.longhorn"
            size = parts.nodes[index].disks.longhorn
            yield Fault(path, size, "is a disk for volumes in a lab without storage", "add storage: {}, or remove it")
    if parts.storage is not None and parts.all_nodes and parts.storage.replicas > len(holders):
        problem = f"is more than the {len(holders)} nodes with a disk for volumes"
        fix = "give more nodes disks.longhorn, or lower it"
        yield Fault("lab.storage.replicas", parts.storage.replicas, problem, fix)

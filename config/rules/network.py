"""Rules of addresses and ranges: inside their network, nowhere twice, and no range upon another."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from config.faults import Fault
from config.model.infrastructure import Neighbour
from config.model.values import Address, Network
from config.rules.parts import Parts

# Below this many address bits a network has no network and broadcast address of its own (RFC 3021).
POINT_TO_POINT = 31
# The controller manager cuts a /24 out of the pods' range for each node (--node-cidr-mask-size).
NODE_PREFIX = 24
# kube-apiserver refuses a wider range of services; K3s puts its DNS at the tenth address of it.
SERVICE_PREFIXES = range(12, 28)


@dataclass(frozen=True)
class _Named:
    path: str
    address: Address


def network_rules(parts: Parts) -> Iterator[Fault]:
    """Yield what is wrong between networks and addresses."""
    yield from _inside(parts)
    yield from _taken(parts)
    yield from _pools(parts)
    yield from _hosts(parts)
    yield from _vlans(parts)
    yield from _ranges(parts)
    yield from _range_sizes(parts)


def _neighbours(parts: Parts) -> dict[str, Neighbour]:
    if parts.networks is None:
        return {}
    networks = {name: getattr(parts.networks, name) for name in type(parts.networks).model_fields}
    return {name: network for name, network in networks.items() if network is not None}


def _gateway(parts: Parts) -> list[_Named]:
    return [_Named("networks.nodes.gateway", parts.networks.nodes.gateway)] if parts.networks else []


def _api(parts: Parts) -> list[_Named]:
    return [_Named("kubernetes.api_address", parts.kubernetes.api_address)] if parts.kubernetes else []


def _nodes(parts: Parts) -> list[_Named]:
    return [_Named(f"nodes[{index}].address", node.address) for index, node in parts.nodes.items()]


def _host_addresses(parts: Parts) -> list[_Named]:
    return [
        _Named(f"proxmox.hosts[{index}].address", host.address)
        for index, host in parts.hosts.items()
        if host.address is not None
    ]


def _inside(parts: Parts) -> Iterator[Fault]:
    if parts.networks is None:
        return
    cidr = parts.networks.nodes.cidr
    for named in [*_gateway(parts), *_api(parts), *_nodes(parts)]:
        if named.address not in cidr:
            fix = f"choose an address of {cidr}, or correct networks.nodes.cidr"
            yield Fault(f"lab.{named.path}", named.address, f"is outside networks.nodes.cidr {cidr}", fix)
        elif named.address in _reserved(cidr):
            problem = f"is the network or broadcast address of {cidr}"
            yield Fault(f"lab.{named.path}", named.address, problem, "choose an address between the two")


def _reserved(cidr: Network) -> set[Address]:
    return {cidr.network_address, cidr.broadcast_address} if cidr.prefixlen < POINT_TO_POINT else set()


def _taken(parts: Parts) -> Iterator[Fault]:
    """Refuse an address that two things have; nodes among themselves are checked with their other keys."""
    servers = [node.address for node in parts.nodes.values() if node.role == "server"]
    known: dict[Address, str] = {}
    for named in reversed(_nodes(parts)):
        known[named.address] = named.path.removesuffix(".address")
    for named in [*_gateway(parts), *_api(parts), *_host_addresses(parts)]:
        holder = known.get(named.address)
        # A single server may itself be where the API answers: there is nothing to move an address to.
        alone = named.path == "kubernetes.api_address" and servers == [named.address] and parts.all_nodes
        if holder and not alone:
            problem = f"is also the address of {holder}"
            yield Fault(f"lab.{named.path}", named.address, problem, "use a free address")
        known.setdefault(named.address, named.path.removesuffix(".address"))


def _pools(parts: Parts) -> Iterator[Fault]:
    networks = _neighbours(parts)
    for name, network in networks.items():
        for index, pool in enumerate(network.dhcp):
            if pool.first not in network.cidr or pool.last not in network.cidr:
                path = f"lab.networks.{name}.dhcp[{index}]"
                fix = f"choose both ends inside {network.cidr}"
                yield Fault(path, pool, f"is not inside networks.{name}.cidr {network.cidr}", fix)
    for named in [*_gateway(parts), *_api(parts), *_nodes(parts), *_host_addresses(parts)]:
        for name, network in networks.items():
            for pool in network.dhcp:
                if named.address in pool:
                    problem = f"is in the DHCP pool {pool} of networks.{name}"
                    fix = "choose an address outside of the pool, or make the pool smaller"
                    yield Fault(f"lab.{named.path}", named.address, problem, fix)


def _hosts(parts: Parts) -> Iterator[Fault]:
    networks = _neighbours(parts)
    for named in _host_addresses(parts):
        if networks and not any(named.address in network.cidr for network in networks.values()):
            fix = "correct it, or describe its network as networks.management"
            yield Fault(f"lab.{named.path}", named.address, "is in none of the networks", fix)


def _vlans(parts: Parts) -> Iterator[Fault]:
    first: dict[int, str] = {}
    for name, network in _neighbours(parts).items():
        if network.vlan is None:
            continue
        if network.vlan in first:
            problem = f"is also that of networks.{first[network.vlan]}"
            fix = "give each network a VLAN of its own"
            yield Fault(f"lab.networks.{name}.vlan", network.vlan, problem, fix)
        first.setdefault(network.vlan, name)


def _ranges(parts: Parts) -> Iterator[Fault]:
    ranges = [(f"networks.{name}.cidr", network.cidr) for name, network in _neighbours(parts).items()]
    if parts.kubernetes:
        ranges.append(("kubernetes.cluster_cidr", parts.kubernetes.cluster_cidr))
        ranges.append(("kubernetes.service_cidr", parts.kubernetes.service_cidr))
    for position, (path, block) in enumerate(ranges):
        for other, taken in ranges[:position]:
            if block.overlaps(taken):
                yield Fault(f"lab.{path}", block, f"overlaps {other} {taken}", "choose a range of its own")


def _range_sizes(parts: Parts) -> Iterator[Fault]:
    if parts.kubernetes is None:
        return
    pods, services = parts.kubernetes.cluster_cidr, parts.kubernetes.service_cidr
    needed = NODE_PREFIX - math.ceil(math.log2(max(1, len(parts.nodes))))
    if pods.prefixlen > needed:
        problem = f"is too small: each of {len(parts.nodes)} nodes takes a /{NODE_PREFIX} of it"
        yield Fault("lab.kubernetes.cluster_cidr", pods, problem, f"use a /{needed} or a wider range")
    if services.prefixlen not in SERVICE_PREFIXES:
        fix = f"use a prefix from /{SERVICE_PREFIXES.start} to /{SERVICE_PREFIXES.stop - 1}, such as 10.43.0.0/16"
        yield Fault("lab.kubernetes.service_cidr", services, "has a size that Kubernetes does not take", fix)

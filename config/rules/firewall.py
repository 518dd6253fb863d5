"""Rules of the firewall: interfaces of their own, networks that exist, names that pfSense can keep apart."""

from collections.abc import Iterator

from config.faults import Fault
from config.model.platform import API_HOST
from config.rules.parts import Parts

# pfSense takes 31 characters as the name of an alias; the longest of the lab's are its name and "_reachable".
LONGEST_NAME = 31 - len("_reachable")


def firewall_rules(parts: Parts) -> Iterator[Fault]:
    """Yield what is wrong between the firewall and the rest; nothing if there is none."""
    if parts.firewall is None:
        return
    yield from _name(parts)
    yield from _names(parts)
    yield from _interfaces(parts)
    yield from _operators(parts)


def _name(parts: Parts) -> Iterator[Fault]:
    name = parts.data.get("name")
    if isinstance(name, str) and len(name) > LONGEST_NAME:
        fix = f"use at most {LONGEST_NAME} characters: pfSense's aliases begin with it"
        yield Fault("lab.name", name, "is too long for a lab with a firewall", fix)


def _names(parts: Parts) -> Iterator[Fault]:
    """Refuse a name that would have two addresses."""
    known = {API_HOST: "the API"}
    known |= {host.name: f"proxmox.hosts[{index}]" for index, host in parts.hosts.items() if host.address is not None}
    for index, node in parts.nodes.items():
        if node.name in known:
            problem = f"is also the name of {known[node.name]}"
            yield Fault(f"lab.nodes[{index}].name", node.name, problem, "give the node a name of its own in DNS")
    for index, host in parts.hosts.items():
        if host.name == API_HOST and host.address is not None:
            fix = "leave out the host's address, or name it otherwise in Proxmox"
            yield Fault(f"lab.proxmox.hosts[{index}].name", host.name, "is also the name of the API", fix)


def _interfaces(parts: Parts) -> Iterator[Fault]:
    interfaces = parts.firewall.interfaces if parts.firewall else None
    first: dict[str, str] = {}
    for network in ("nodes", "lan", "vpn"):
        interface = getattr(interfaces, network)
        if interface is None:
            continue
        path = f"lab.firewall.interfaces.{network}"
        if interface in first:
            problem = f"is also that of {first[interface]}"
            yield Fault(path, interface, problem, "name the interface that leads to each network")
        elif parts.networks and getattr(parts.networks, network) is None:
            fix = f"describe networks.{network}, or leave it out here"
            yield Fault(path, interface, f"leads to networks.{network}, which there is not", fix)
        first.setdefault(interface, network)


def _operators(parts: Parts) -> Iterator[Fault]:
    if parts.firewall is None or parts.networks is None:
        return
    reached = [
        network
        for name in ("lan", "vpn")
        if getattr(parts.firewall.interfaces, name) and (network := getattr(parts.networks, name))
    ]
    for index, address in enumerate(parts.firewall.operators):
        if not any(address in network.cidr for network in reached):
            fix = "choose an address there, and name that network's interface in firewall.interfaces"
            problem = "is neither in networks.lan nor in networks.vpn, as far as firewall.interfaces has them"
            yield Fault(f"lab.firewall.operators[{index}]", address, problem, fix)

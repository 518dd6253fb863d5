"""Read a lab from plain data, with every fault found in one pass: of single fields and of fields that must agree.

A part that does not parse is reported and left out of the rules, so that one slip hides no other.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.model import Kubernetes, Lab, Lan, Node, Proxmox

# etcd keeps a majority only in these sizes without paying for a member that adds no safety.
SERVER_COUNTS = (1, 3, 5)

_Part = TypeVar("_Part", bound=BaseModel)


@dataclass(frozen=True)
class Fault:
    """One thing to correct: where it is, what is there, and what would be right."""

    path: str
    value: object
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        return f"{self.path}{shown}: {self.problem}. Fix: {self.fix}."


class LabError(ValueError):
    """The data is no usable lab; `faults` says why."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True)
class _Parts:
    """What of the data could be understood."""

    proxmox: Proxmox | None = None
    network: Lan | None = None
    kubernetes: Kubernetes | None = None
    nodes: Mapping[int, Node] = field(default_factory=dict)
    all_nodes: bool = False

    @property
    def servers(self) -> dict[int, Node]:
        return {index: node for index, node in self.nodes.items() if node.role == "server"}


def read_lab(data: object) -> Lab:
    """Return the lab that `data` describes, or raise `LabError` with all its faults."""
    lab: Lab | None = None
    faults: list[Fault] = []
    try:
        lab = Lab.model_validate(data)
    except ValidationError as error:
        faults = [_field_fault(details) for details in error.errors(include_url=False)]
    faults += _rules(_parts(data))
    if lab is None or faults:
        raise LabError(faults)
    return lab


def _parts(data: object) -> _Parts:
    raw = data if isinstance(data, Mapping) else {}
    nodes = raw.get("nodes")
    listed = nodes if isinstance(nodes, list | tuple) else ()
    parsed = {index: _part(Node, item) for index, item in enumerate(listed)}
    return _Parts(
        proxmox=_part(Proxmox, raw.get("proxmox")),
        network=_part(Lan, raw.get("network")),
        kubernetes=_part(Kubernetes, raw.get("kubernetes")),
        nodes={index: node for index, node in parsed.items() if node is not None},
        all_nodes=bool(parsed) and None not in parsed.values(),
    )


def _part(model: type[_Part], data: object) -> _Part | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def _field_fault(details: ErrorDetails) -> Fault:
    location = details["loc"]
    path = "lab" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    value = details.get("input")
    shown = value if isinstance(value, str | int | float | bool) and details["type"] != "missing" else None
    return Fault(path, shown, _problem(details), _fix(location))


def _problem(details: ErrorDetails) -> str:
    problems = {
        "missing": "is missing",
        "extra_forbidden": "is not a setting",
        "string_pattern_mismatch": "is malformed",
    }
    return problems.get(details["type"], details["msg"][:1].lower() + details["msg"][1:])


def _fix(location: tuple[int | str, ...]) -> str:
    """Say what a good value looks like: the description of the field that the location leads to."""
    model: object = Lab
    description: str | None = None
    for part in location:
        if isinstance(part, int):
            continue
        fields = _fields(model)
        if part not in fields:
            return f"remove it; known here: {', '.join(sorted(fields))}"
        description = fields[part].description
        # tuple[Node, ...] leads to Node
        annotation = fields[part].annotation
        model = next(iter(get_args(annotation)), annotation)
    return description or f"a mapping with {', '.join(_fields(model))}"


def _fields(model: object) -> dict[str, FieldInfo]:
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}


def _rules(parts: _Parts) -> Iterator[Fault]:
    yield from _unique_rules(parts)
    yield from _address_rules(parts)
    yield from _host_rules(parts)
    yield from _server_rules(parts)
    yield from _range_rules(parts)


def _unique_rules(parts: _Parts) -> Iterator[Fault]:
    for key in ("name", "vm_id", "address", "mac"):
        first: dict[object, int] = {}
        for index, node in parts.nodes.items():
            value = getattr(node, key)
            if value in first:
                problem = f"is also that of nodes[{first[value]}]"
                yield Fault(f"lab.nodes[{index}].{key}", value, problem, f"give each node its own {key}")
            first.setdefault(value, index)
    if parts.proxmox:
        for host, count in Counter(parts.proxmox.hosts).items():
            if count > 1:
                yield Fault("lab.proxmox.hosts", host, f"is listed {count} times", "list each host once")


def _address_rules(parts: _Parts) -> Iterator[Fault]:
    named: list[tuple[str, ipaddress.IPv4Address]] = []
    if parts.network:
        named.append(("network.gateway", parts.network.gateway))
    if parts.kubernetes:
        named.append(("kubernetes.api_address", parts.kubernetes.api_address))
    if parts.network:
        lan = parts.network.cidr
        reserved = {lan.network_address, lan.broadcast_address} if lan.prefixlen < ipaddress.IPV4LENGTH - 1 else set()
        for path, address in [*named, *((f"nodes[{i}].address", node.address) for i, node in parts.nodes.items())]:
            if address not in lan:
                fix = f"choose an address of {lan}, or correct network.cidr"
                yield Fault(f"lab.{path}", address, f"is outside network.cidr {lan}", fix)
            elif address in reserved:
                problem = f"is the network or broadcast address of {lan}"
                yield Fault(f"lab.{path}", address, problem, "choose an address between the two")
    taken = {node.address: index for index, node in parts.nodes.items()}
    for path, address in named:
        if address in taken:
            yield Fault(f"lab.{path}", address, f"is also the address of nodes[{taken[address]}]", "use a free address")
    if len({address for _, address in named}) < len(named):
        path, address = named[-1]
        yield Fault(f"lab.{path}", address, "is also the gateway", "use a free address")


def _host_rules(parts: _Parts) -> Iterator[Fault]:
    if parts.proxmox is None:
        return
    hosts = parts.proxmox.hosts
    for index, node in parts.nodes.items():
        if node.host not in hosts:
            fix = f"use one of {', '.join(hosts)}, or add it to proxmox.hosts"
            yield Fault(f"lab.nodes[{index}].host", node.host, "is not in proxmox.hosts", fix)


def _server_rules(parts: _Parts) -> Iterator[Fault]:
    servers = parts.servers
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


def _range_rules(parts: _Parts) -> Iterator[Fault]:
    ranges: list[tuple[str, ipaddress.IPv4Network]] = []
    if parts.network:
        ranges.append(("network.cidr", parts.network.cidr))
    if parts.kubernetes:
        ranges.append(("kubernetes.cluster_cidr", parts.kubernetes.cluster_cidr))
        ranges.append(("kubernetes.service_cidr", parts.kubernetes.service_cidr))
    for position, (path, block) in enumerate(ranges):
        for other, taken in ranges[:position]:
            if block.overlaps(taken):
                yield Fault(f"lab.{path}", block, f"overlaps {other} {taken}", "choose a range of its own")

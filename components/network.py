"""The firewall in front of the lab, and the lab's names: everything that pfSense has to know, derived from the nodes.

What comes in at an interface is decided there, by the first rule that matches. No rule is ever made on WAN: nothing
from outside reaches the lab but through the tunnel, which the nodes open themselves.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from config.model import Lab
from config.model.infrastructure import Firewall, Neighbour, Networks
from config.model.platform import API_HOST
from providers import pfsense
from providers.kubeconfig import API_PORT
from providers.pfsense_objects import ALIAS, HOST_OVERRIDE, STATIC_MAPPING

DNS, NTP, TUNNEL = "53", "123", "7844"
# Packages and images over HTTP and HTTPS; Cloudflare's edge.
OUTWARD = {"80": "packages", "443": "packages, images, charts, Git", TUNNEL: "the tunnel"}
# Not the internet, whatever the house uses of it: RFC 1918, RFC 6598, RFC 3927, RFC 1122.
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
APPLIES = {"firewall": ALIAS.apply, "dns": HOST_OVERRIDE.apply, "dhcp": STATIC_MAPPING.apply}


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The lab behind the firewall; its name marks what is the lab's own in the firewall's lists."""

    lab: Lab
    firewall: Firewall


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """One line of the border: what may pass, or with ``reject`` may not. A port is a number or an alias."""

    name: str
    interface: str
    says: str
    source: str
    destination: str
    protocol: str | None = None
    port: str | None = None
    reject: bool = False


class Network(pulumi.ComponentResource):
    """Declare the aliases, the rules, the names and the reservations, and let them take force."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare all of it; a rule comes after the aliases that it names."""
        super().__init__("homelab:network:Network", name, None, opts)
        self._name = name
        self._args = args
        self._endpoint = args.firewall.endpoint
        # What every description of ours begins with.
        self._owner = f"{args.lab.name}: "
        self._child = pulumi.ResourceOptions(parent=self)
        aliases = self._groups()
        rules = self._rules(list(aliases.values()))
        self._apply("firewall", {**aliases, **rules})
        self._apply("dns", self._names())
        if args.lab.networks.nodes.dhcp:
            self._apply("dhcp", self._reservations())
        self.register_outputs({})

    def _groups(self) -> dict[str, pfsense.Alias]:
        args = self._args
        nodes = {str(node.address): node.name for node in args.lab.nodes}
        api = str(args.lab.kubernetes.api_address)
        wanted = {
            "nodes": ("host", nodes),
            "cluster": ("host", {**nodes, api: nodes.get(api, "API")}),
            "dns": ("host", {str(server): "DNS" for server in args.lab.networks.nodes.dns}),
            "private": ("network", {**dict.fromkeys(PRIVATE, "private"), **_house(args.lab.networks)}),
            "outward": ("port", OUTWARD),
        }
        if args.firewall.operators:
            wanted["operators"] = ("host", {str(address): "operator" for address in args.firewall.operators})
        if args.firewall.reachable:
            wanted["reachable"] = ("host", {str(address): "in the house" for address in args.firewall.reachable})
        return {
            key: pfsense.Alias(
                f"{self._name}-alias-{key}",
                self._child,
                endpoint=self._endpoint,
                alias=alias(args.lab.name, key),
                type_=type_,
                descr=f"{self._owner}{key}",
                entries=entries,
            )
            for key, (type_, entries) in wanted.items()
        }

    def _rules(self, aliases: Sequence[pulumi.Resource]) -> dict[str, pfsense.Rule]:
        above: dict[str, Allowed] = {}
        rules: dict[str, pfsense.Rule] = {}
        for line in border(self._args):
            previous = above.get(line.interface)
            rules[line.name] = pfsense.Rule(
                f"{self._name}-rule-{line.name}",
                # One after the other: each is placed below the one before it.
                pulumi.ResourceOptions(parent=self, depends_on=[rules[previous.name]] if previous else aliases),
                endpoint=self._endpoint,
                owner=self._owner,
                descr=f"{self._owner}{line.says}",
                after=f"{self._owner}{previous.says}" if previous else "",
                type_="reject" if line.reject else "pass",
                interface=line.interface,
                protocol=line.protocol,
                source=line.source,
                destination=line.destination,
                destination_port=line.port,
                log=line.reject,
            )
            above[line.interface] = line
        return rules

    def _names(self) -> dict[str, pfsense.HostOverride]:
        args = self._args
        known = {host.name: str(host.address) for host in args.lab.proxmox.hosts if host.address is not None}
        known |= {node.name: str(node.address) for node in args.lab.nodes}
        known[API_HOST] = str(args.lab.kubernetes.api_address)
        return {
            host: pfsense.HostOverride(
                f"{self._name}-name-{host}",
                self._child,
                endpoint=self._endpoint,
                host=host,
                domain=args.lab.domain,
                addresses=[address],
                descr=f"{self._owner}{host}",
            )
            for host, address in known.items()
        }

    def _reservations(self) -> dict[str, pfsense.StaticMapping]:
        args = self._args
        return {
            node.name: pfsense.StaticMapping(
                f"{self._name}-reservation-{node.name}",
                self._child,
                endpoint=self._endpoint,
                interface=args.firewall.interfaces.nodes,
                mac=node.mac,
                address=str(node.address),
                hostname=node.name,
                domain=args.lab.domain,
                descr=f"{self._owner}{node.name}",
            )
            for node in args.lab.nodes
        }

    def _apply(self, part: str, written: Mapping[str, pfsense.Object]) -> None:
        pfsense.Apply(
            f"{self._name}-apply-{part}",
            self._child,
            endpoint=self._endpoint,
            owner=self._owner,
            part=APPLIES[part],
            written={name: one.written for name, one in written.items()},
        )


def alias(lab: str, key: str) -> str:
    """Return the name of an alias: pfSense takes letters, digits and underscores, 31 of them."""
    return f"{lab.replace('-', '_')}_{key}"


def _house(networks: Networks) -> dict[str, str]:
    """Return the house's own networks, by name, which may have public addresses too."""
    named = {"nodes": networks.nodes, "management": networks.management, "lan": networks.lan, "vpn": networks.vpn}
    return {str(network.cidr): name for name, network in named.items() if network and not _is_private(network)}


def _is_private(network: Neighbour) -> bool:
    return any(network.cidr.subnet_of(ipaddress.IPv4Network(block)) for block in PRIVATE)


def border(args: NetworkArgs) -> list[Allowed]:
    """Return the rules from top to bottom, interface by interface; the last of each refuses the rest."""
    interfaces, firewall = args.firewall.interfaces, args.firewall
    people = [("lan", interfaces.lan, args.lab.networks.lan), ("vpn", interfaces.vpn, args.lab.networks.vpn)]
    lines = _outward(args)
    for who, interface, network in people:
        if interface is None or network is None:
            continue
        operators = [address for address in firewall.operators if address in network.cidr]
        lines += _inward(args, who, interface, str(network.cidr), operators=bool(operators))
    return lines


def _outward(args: NetworkArgs) -> list[Allowed]:
    at, nodes = args.firewall.interfaces.nodes, alias(args.lab.name, "nodes")
    outside = f"!{alias(args.lab.name, 'private')}"

    def line(name: str, says: str, destination: str, protocol: str | None = None, port: str | None = None) -> Allowed:
        return Allowed(
            name=f"nodes-{name}",
            interface=at,
            says=f"nodes {says}",
            source=nodes,
            destination=destination,
            protocol=protocol,
            port=port,
        )

    lines = [
        line("dns", "ask for names", alias(args.lab.name, "dns"), "tcp/udp", DNS),
        line("ntp", "ask for the time", "any", "udp", NTP),
        line("outward", "reach packages, images, Git and the tunnel", outside, "tcp", alias(args.lab.name, "outward")),
        line("tunnel", "reach the tunnel by QUIC", outside, "udp", TUNNEL),
    ]
    if args.firewall.reachable:
        lines.append(line("reachable", "reach what is named in the house", alias(args.lab.name, "reachable")))
    rest = Allowed(
        name="nodes-rest", interface=at, says="nodes reach nothing else", source=nodes, destination="any", reject=True
    )
    return [*lines, rest]


def _inward(args: NetworkArgs, who: str, interface: str, network: str, *, operators: bool) -> list[Allowed]:
    lines = [
        Allowed(
            name=f"{who}-api",
            interface=interface,
            says=f"{who} reaches the API",
            source=network,
            destination=str(args.lab.kubernetes.api_address),
            protocol="tcp",
            port=str(API_PORT),
        )
    ]
    if operators:
        provisioning = Allowed(
            name=f"{who}-operators",
            interface=interface,
            says=f"operators in {who} reach the nodes by SSH",
            source=alias(args.lab.name, "operators"),
            destination=alias(args.lab.name, "nodes"),
            protocol="tcp",
            port=str(args.lab.ssh.port),
        )
        lines.append(provisioning)
    rest = Allowed(
        name=f"{who}-rest",
        interface=interface,
        says=f"{who} reaches nothing else of the cluster",
        source=network,
        destination=alias(args.lab.name, "cluster"),
        reject=True,
    )
    return [*lines, rest]

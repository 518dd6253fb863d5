"""The border of the lab: what passes and what does not, decided as pfSense decides, from the rules as registered."""

import ipaddress
from typing import Any

import pytest

from components.network import Network, NetworkArgs
from config.rules import read_lab
from tests.config.labs import GOOD, Data, production, with_vlans_pools_and_neighbours
from tests.harness import Recording, record

ALIAS, RULE, NAME, RESERVATION, APPLY = (
    f"pulumi-python:dynamic/pfsense:{kind}" for kind in ("Alias", "Rule", "HostOverride", "StaticMapping", "Apply")
)
FIREWALL = {"endpoint": "https://fw.test", "interfaces": {"nodes": "opt1"}}
NODE, API, OPERATOR, RELATIVE = "10.20.0.21", "10.20.0.10", "192.168.1.20", "192.168.1.77"
INTERNET = "93.184.216.34"


def run(data: Data) -> Recording:
    lab = read_lab(data, measured=False)
    assert lab.firewall
    args = NetworkArgs(lab=lab, firewall=lab.firewall)
    computed = {kind: {"written": "SENTINEL"} for kind in (ALIAS, RULE, NAME, RESERVATION)}
    return record(lambda: Network("network", args), outputs=computed)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return run(production())


def all_of(recording: Recording, kind: str) -> list[dict[str, Any]]:
    return [recording.inputs(kind, recording.requests[urn].name) for urn in recording.urns_of(kind)]


class Border:
    """First match decides; what no rule matches passes on LAN, as pfSense's own last rule has it, and nowhere else."""

    def __init__(self, recording: Recording) -> None:
        self._aliases = {one["name"]: one for one in all_of(recording, ALIAS)}
        rules = all_of(recording, RULE)
        self._by_interface: dict[str, list[dict[str, Any]]] = {}
        for interface in {one["interface"][0] for one in rules}:
            last = ""
            chain = self._by_interface.setdefault(interface, [])
            while following := [one for one in rules if one["interface"] == [interface] and one["after"] == last]:
                (rule,) = following
                chain.append(rule)
                last = rule["descr"]
            assert len(chain) == len([one for one in rules if one["interface"] == [interface]])

    def passes(self, interface: str, source: str, destination: str, protocol: str, port: int) -> bool:
        for rule in self._by_interface.get(interface, []):
            spoken = protocol in rule.get("protocol", protocol).split("/")
            if (
                spoken
                and self._address(rule["source"], source)
                and self._address(rule["destination"], destination)
                and self._port(rule.get("destination_port"), port)
            ):
                return bool(rule["type"] == "pass")
        return interface == "lan"

    def _address(self, written: str, address: str) -> bool:
        if written.startswith("!"):
            return not self._address(written[1:], address)
        if written == "any":
            return True
        entries = self._aliases[written]["address"] if written in self._aliases else [written]
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(entry) for entry in entries)

    def _port(self, written: str | None, port: int) -> bool:
        if written is None:
            return True
        return str(port) in (self._aliases[written]["address"] if written in self._aliases else [written])


@pytest.mark.parametrize(
    ("interface", "source", "destination", "protocol", "port", "passes"),
    [
        ("opt1", NODE, "10.20.0.1", "udp", 53, True),
        ("opt1", NODE, "10.20.0.1", "tcp", 53, True),
        ("opt1", NODE, INTERNET, "udp", 53, False),
        ("opt1", NODE, INTERNET, "udp", 123, True),
        ("opt1", NODE, INTERNET, "tcp", 443, True),
        ("opt1", NODE, INTERNET, "tcp", 80, True),
        ("opt1", NODE, INTERNET, "tcp", 7844, True),
        ("opt1", NODE, INTERNET, "udp", 7844, True),
        ("opt1", NODE, INTERNET, "udp", 443, False),
        ("opt1", NODE, INTERNET, "tcp", 22, False),
        ("opt1", NODE, INTERNET, "tcp", 25, False),
        ("opt1", NODE, "192.168.1.1", "tcp", 443, False),
        ("opt1", NODE, "10.20.0.1", "tcp", 443, False),
        ("opt1", NODE, "100.64.0.7", "tcp", 443, False),
        ("lan", RELATIVE, API, "tcp", 6443, True),
        ("lan", RELATIVE, API, "udp", 6443, False),
        ("lan", RELATIVE, API, "tcp", 22, False),
        ("lan", RELATIVE, NODE, "tcp", 6443, False),
        ("lan", RELATIVE, NODE, "tcp", 22, False),
        ("lan", RELATIVE, NODE, "tcp", 10250, False),
        ("lan", RELATIVE, "10.20.0.2", "tcp", 8006, True),
        ("lan", RELATIVE, INTERNET, "tcp", 443, True),
        ("lan", OPERATOR, NODE, "tcp", 22, True),
        ("lan", OPERATOR, NODE, "tcp", 10250, False),
        ("wan", INTERNET, API, "tcp", 6443, False),
        ("wan", INTERNET, NODE, "tcp", 22, False),
    ],
)
def test_the_border_lets_pass_what_is_needed_and_nothing_else(  # noqa: PLR0913, PLR0917 - a packet
    recording: Recording, interface: str, source: str, destination: str, protocol: str, port: int, *, passes: bool
) -> None:
    assert Border(recording).passes(interface, source, destination, protocol, port) is passes


@pytest.mark.parametrize("good", GOOD)
def test_no_rule_is_ever_made_where_the_world_comes_in(good: str) -> None:
    data = GOOD[good]()
    networks = data["networks"]
    others = {name: f"opt{at}" for at, name in enumerate(("lan", "vpn"), 2) if networks.get(name)}
    data["firewall"] = {**FIREWALL, "interfaces": {"nodes": "opt1", **others}}
    recording = run(data)
    rules = all_of(recording, RULE)
    assert {name for rule in rules for name in rule["interface"]} == {"opt1", *others.values()}
    for interface in ("opt1", *others.values()):
        chain = [rule for rule in rules if rule["interface"] == [interface]]
        assert chain[-1]["type"] == "reject", "the last rule of an interface refuses the rest"
    assert not any("floating" in rule for rule in rules)
    recording.assert_well_formed()


def test_a_house_with_public_addresses_is_not_taken_for_the_internet() -> None:
    data = production()
    data["networks"]["lan"]["cidr"] = "203.0.113.0/24"
    del data["firewall"]["operators"]
    assert not Border(run(data)).passes("opt1", NODE, "203.0.113.9", "tcp", 443)
    assert Border(run(data)).passes("lan", "203.0.113.9", API, "tcp", 6443)


def test_what_is_named_in_the_house_is_reached() -> None:
    data = production()
    assert not Border(run(data)).passes("opt1", NODE, "192.168.1.5", "tcp", 2049)
    data["firewall"]["reachable"] = ["192.168.1.5"]
    assert Border(run(data)).passes("opt1", NODE, "192.168.1.5", "tcp", 2049)
    assert not Border(run(data)).passes("opt1", NODE, "192.168.1.6", "tcp", 2049)


def test_people_of_a_vpn_reach_what_people_at_home_reach() -> None:
    data = with_vlans_pools_and_neighbours()
    operators = ["10.8.0.7"]
    data["firewall"] = {**FIREWALL, "interfaces": {"nodes": "opt1", "vpn": "opt2"}, "operators": operators}
    border = Border(run(data))
    assert border.passes("opt2", "10.8.0.9", "10.0.0.10", "tcp", 6443)
    assert not border.passes("opt2", "10.8.0.9", "10.0.0.12", "tcp", 22)
    assert border.passes("opt2", "10.8.0.7", "10.0.0.12", "tcp", 22)


def test_hosts_nodes_and_the_api_have_names(recording: Recording) -> None:
    names = {f"{one['host']}.{one['domain']}": one["ip"] for one in all_of(recording, NAME)}
    assert names["api.lab.example.com"] == [API]
    assert names["pve1.lab.example.com"] == ["10.20.0.2"]
    assert names["k3s-agent-1.lab.example.com"] == [NODE]
    assert len(names) == 3 + 6 + 1


def test_each_node_has_its_address_reserved_where_there_is_a_dhcp_server(recording: Recording) -> None:
    reserved = all_of(recording, RESERVATION)
    assert {(one["mac"], one["ipaddr"], one["hostname"]) for one in reserved} >= {
        ("bc:24:11:00:07:db", "10.20.0.11", "k3s-server-1")
    }
    assert {one["parent_id"] for one in reserved} == {"opt1"}
    assert len(reserved) == 6
    data = production()
    data["networks"]["nodes"]["dhcp"] = []
    without = run(data)
    assert all_of(without, RESERVATION) == []
    assert {one["part"] for one in all_of(without, APPLY)} == {"firewall/apply", "services/dns_resolver/apply"}


def test_one_apply_for_each_part_waits_for_all_that_was_written(recording: Recording) -> None:
    applies = {one["part"]: one for one in all_of(recording, APPLY)}
    counts = {part: len(one["written"]) for part, one in applies.items()}
    aliases, rules = len(recording.urns_of(ALIAS)), len(recording.urns_of(RULE))
    assert counts == {
        "firewall/apply": aliases + rules,
        "services/dns_resolver/apply": 10,
        "services/dhcp_server/apply": 6,
    }


def test_a_rule_waits_for_its_aliases_and_for_the_rule_above(recording: Recording) -> None:
    aliases = set(recording.urns_of(ALIAS))
    for urn in recording.urns_of(RULE):
        before = set(recording.requests[urn].dependencies)
        if recording.inputs(RULE, recording.requests[urn].name)["after"]:
            assert len(before & set(recording.urns_of(RULE))) == 1
        else:
            assert aliases <= before

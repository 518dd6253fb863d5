"""What the hosts do for machines: only what the lab asks for, and a firewall that lets the cluster work."""

import ipaddress
from typing import Any

import pulumi
import pytest

from components.safeguards import Safeguards, SafeguardsArgs, inbound
from config.model import Lab
from tests.config.labs import Data, node, production, smallest
from tests.harness import Recording, record

GROUP = "proxmoxve:cluster/firewall/security/groupLegacy:GroupLegacy"
RULES = "proxmoxve:firewall/rulesLegacy:RulesLegacy"
OPTIONS = "proxmoxve:firewall/optionsLegacy:OptionsLegacy"
JOB = "proxmoxve:backup/job:Job"
RESOURCE = "proxmoxve:index/haresource:Haresource"
APART = "proxmoxve:index/harule:Harule"


def lab(data: Data | None = None, **parts: Any) -> Lab:
    data = data or production()
    data["proxmox"]["datacenter"] = parts
    return Lab.model_validate(data)


def run(described: Lab) -> Recording:
    def declare() -> None:
        ids = {one.name: pulumi.Output.from_input(str(one.vm_id)) for one in described.nodes}
        Safeguards("safeguards", SafeguardsArgs(lab=described, machine_ids=ids))

    return record(declare)


def kinds(recording: Recording) -> set[str]:
    return {request.type for request in recording.requests.values() if request.type.startswith("proxmoxve:")}


@pytest.mark.parametrize(
    ("parts", "made"),
    [
        ({}, set()),
        ({"start_order": True}, set()),
        ({"firewall_group": True}, {GROUP, RULES, OPTIONS}),
        ({"backups": {"datastore": "nas"}}, {JOB}),
        ({"high_availability": True}, {RESOURCE, APART}),
    ],
)
def test_each_part_is_made_only_for_a_lab_that_names_it(parts: dict[str, Any], made: set[str]) -> None:
    assert kinds(run(lab(**parts))) == made


# --- the firewall


def passes(described: Lab, source: str, port: int | None, proto: str = "tcp") -> bool:
    """Tell whether a packet reaches a node, as Proxmox reads the rules."""
    address = ipaddress.ip_address(source)
    for rule in inbound(described):
        assert (rule["type"], rule["action"]) == ("in", "ACCEPT")
        networks = [ipaddress.ip_network(one) for one in str(rule["source"]).split(",")]
        if not any(address in network for network in networks) or rule.get("proto", proto) != proto:
            continue
        if "dport" not in rule or rule["dport"] == str(port):
            return True
    return False


@pytest.mark.parametrize(
    ("source", "port", "proto", "passed"),
    [
        ("10.20.0.12", 2379, "tcp", True),  # etcd, from a server
        ("10.20.0.21", 8472, "udp", True),  # Flannel, from an agent
        ("10.20.0.50", 6443, "tcp", True),  # the load balancer in front of the API
        ("10.20.0.50", 10250, "tcp", False),
        ("192.168.1.20", 6443, "tcp", True),
        ("192.168.1.20", 22, "tcp", True),  # an operator
        ("192.168.1.21", 6443, "tcp", True),
        ("192.168.1.21", 22, "tcp", False),
        ("192.168.1.21", None, "icmp", True),
        ("192.168.1.20", 10250, "tcp", False),
        ("8.8.8.8", 6443, "tcp", False),
        ("8.8.8.8", None, "icmp", False),
    ],
)
def test_nodes_reach_one_another_and_the_house_only_what_they_serve(
    source: str, port: int | None, proto: str, *, passed: bool
) -> None:
    assert passes(lab(), source, port, proto) is passed


def test_without_known_operators_the_lab_s_networks_reach_ssh_and_nobody_else() -> None:
    data = production()
    del data["firewall"]
    assert passes(lab(data), "192.168.1.21", 22)
    assert not passes(lab(data), "8.8.8.8", 22)


def test_as_many_nodes_as_a_lab_may_have_fit_into_rules_that_proxmox_takes() -> None:
    data = smallest()
    data["nodes"] = [node(at, "agent", "pve", address=f"100.100.100.{100 + at}") for at in range(95)]
    described = lab(data)
    assert max(len(str(rule["source"])) for rule in inbound(described)) <= 512
    assert all(passes(described, str(one.address), 10250) for one in described.nodes)


def test_a_machine_is_closed_only_once_it_is_said_what_stays_open() -> None:
    recording = run(lab(firewall_group=True))
    options = recording.inputs(OPTIONS, "safeguards-firewall-k3s-server-1")
    assert (options["enabled"], options["inputPolicy"], options["outputPolicy"]) == (True, "DROP", "ACCEPT")
    waits = recording.request(OPTIONS, "safeguards-firewall-k3s-server-1").dependencies
    assert recording.urn_of(RULES, "safeguards-rules-k3s-server-1") in waits
    rules = recording.inputs(RULES, "safeguards-rules-k3s-server-1")
    assert (rules["nodeName"], rules["vmId"]) == ("pve1", 2011)
    assert rules["rules"][0]["securityGroup"] == recording.inputs(GROUP)["name"] == "homelab"


# --- backups and availability


def test_the_job_takes_the_whole_pool_to_where_the_lab_says_and_keeps_what_it_says() -> None:
    job = run(lab(backups={"datastore": "nas", "schedule": "sat 03:00", "keep": 3})).inputs(JOB)
    assert (job["pool"], job["storage"], job["schedule"]) == ("homelab", "nas", "sat 03:00")
    assert job["pruneBackups"] == {"keep-last": "3"}


def test_servers_never_move_to_the_same_host_and_agents_may() -> None:
    recording = run(lab(high_availability=True))
    assert len(recording.urns_of(RESOURCE)) == 6
    rule = recording.inputs(APART)
    assert (rule["type"], rule["affinity"]) == ("resource-affinity", "negative")
    assert rule["resources"] == ["vm:2011", "vm:2012", "vm:2013"]


def test_a_single_server_has_none_to_be_kept_apart_from() -> None:
    assert kinds(run(lab(smallest(), high_availability=True))) == {RESOURCE}

"""One change away from a good lab: refused, at its field, with its fix."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from config.faults import Fault, LabError
from config.rules import read_lab
from tests.config.labs import (
    MISSING,
    Data,
    changed,
    of_size,
    production,
    smallest,
    with_vlans_pools_and_neighbours,
)


def without_storage() -> Data:
    return of_size(3, 2)


class Bad(NamedTuple):
    """`at` is where the value is put, `field` is where the fault is found; `others` follow from it."""

    at: str
    value: Any
    field: str
    problem: str
    fix: str
    others: int = 0
    good: Callable[[], Data] = production


def crowded() -> Data:
    """Five servers on three hosts: one host may fail, and two servers have to share one."""
    data = production()
    for at in (0, 1):
        own = {"name": f"more-{at}", "vm_id": 900 + at, "address": f"10.20.0.{90 + at}"}
        data["nodes"].append({**data["nodes"][at], **own})
    return data


BACKUPS, HA = "proxmox.datacenter.backups", "proxmox.datacenter.high_availability"
BAD = [
    # The lab itself.
    Bad("name", "Home Lab", "name", "is malformed", "a DNS label such as homelab"),
    Bad("domain", "localhost", "domain", "is malformed", "a DNS domain such as"),
    Bad("protect", MISSING, "protect", "is missing", "true refuses to delete machines"),
    Bad("protekt", True, "protekt", "is not a setting", "remove it; known here: applications, backups"),
    Bad("gitops/repository", "git@github.com:a/b", "gitops.repository", "is malformed", "an https:// URL"),
    Bad("gitops/repository", "https://me:pw@git.example/a", "gitops.repository", "is malformed", "without credentials"),
    Bad("gitops/revision", "", "gitops.revision", "at least 1 character", "a branch, tag or commit"),
    # Proxmox and its hosts.
    Bad("proxmox/endpoint", "http://pve:8006", "proxmox.endpoint", "is malformed", "an https:// URL"),
    Bad("proxmox/hosts", [], "proxmox.hosts", "at least 1 item", "one entry for each Proxmox host"),
    Bad(
        "proxmox/hosts/1/name", "pve1", "proxmox.hosts[1].name", "is also that of proxmox.hosts[0]", "each host once", 2
    ),
    Bad("proxmox/hosts/0/cores", 0, "proxmox.hosts[0].cores", "greater than or equal to 1", "CPU threads"),
    Bad("proxmox/hosts/0/memory", "64 GB", "proxmox.hosts[0].memory", "valid integer", "memory in MiB"),
    Bad("proxmox/hosts/0/datastores", {}, "proxmox.hosts[0].datastores", "at least 1 item", "GiB by datastore"),
    Bad(
        "proxmox/hosts/0/datastores/-x", 10, "proxmox.hosts[0].datastores.-x", "is malformed", "{local: 50, local-lvm:"
    ),
    Bad("proxmox/hosts/0/address", "10.20.0.11", "proxmox.hosts[0].address", "also the address of nodes[0]", "a free"),
    Bad("proxmox/hosts/0/address", "10.99.0.2", "proxmox.hosts[0].address", "in none of the networks", "management"),
    Bad("proxmox/hosts/0/address", "10.20.0.150", "proxmox.hosts[0].address", "is in the DHCP pool", "outside of the"),
    Bad("proxmox/images", "iso store", "proxmox.images", "is malformed", "the content type Import"),
    Bad("proxmox/images", "nfs", "proxmox.hosts[0].datastores", "lacks nfs, which proxmox.images names", "add nfs", 2),
    Bad("proxmox/disks", "ceph", "proxmox.hosts[2].datastores", "lacks ceph, which proxmox.disks names", "add ceph", 2),
    Bad("proxmox/image/checksum", MISSING, "proxmox.image.checksum", "is missing", "SHA-512 in lower case"),
    Bad("proxmox/image/checksum", "A" * 128, "proxmox.image.checksum", "is malformed", "in lower case, 128 hex digits"),
    Bad("proxmox/image/file_name", "d.iso", "proxmox.image.file_name", "is malformed", "ending in .qcow2"),
    Bad("proxmox/overcommit/cpu", 0.5, "proxmox.overcommit.cpu", "greater than or equal to 1", "1 to 16"),
    Bad("proxmox/overcommit/memory", 3, "proxmox.overcommit.memory", "less than or equal to 2", "may run out"),
    Bad("proxmox/pool", "Lab", "proxmox.pool", "is malformed", "2 to 18 characters, as homelab"),
    Bad("proxmox/pool", "a-pool-of-nineteen-", "proxmox.pool", "is malformed", "2 to 18 characters, as homelab"),
    Bad("proxmox/datacenter/backups/datastore", MISSING, f"{BACKUPS}.datastore", "is missing", "content type Backup"),
    Bad("proxmox/datacenter/backups/schedule", "daily", f"{BACKUPS}.schedule", "is malformed", "a time as 02:00"),
    Bad("proxmox/datacenter/backups/schedule", "24:00", f"{BACKUPS}.schedule", "is malformed", "a time as 02:00"),
    Bad("proxmox/datacenter/backups/keep", 0, f"{BACKUPS}.keep", "greater than or equal to 1", "how many backups"),
    Bad("proxmox/datacenter", {"high_availability": True}, HA, "has one host, and", "add a host", 0, smallest),
    Bad("proxmox/datacenter/high_availability", True, HA, "keep 5 servers apart on 3 hosts", "5 hosts", 0, crowded),
    # Networks.
    Bad("networks/nodes/cidr", "10.20.0.5/24", "networks.nodes.cidr", "not a valid IPv4 network", "host bits zero"),
    Bad("networks/nodes/cidr", "fd00:20::/64", "networks.nodes.cidr", "IPv6 is not supported", "an IPv4 network"),
    Bad("networks/nodes/gateway", "10.30.0.1", "networks.nodes.gateway", "is outside networks.nodes.cidr", "10.20.0.0"),
    Bad("networks/nodes/gateway", "10.20.0.11", "networks.nodes.gateway", "also the address of nodes[0]", "a free"),
    Bad("networks/nodes/dns", [], "networks.nodes.dns", "at least 1 item", "one or more IPv4 addresses"),
    Bad("networks/nodes/bridge", "vmbr 0", "networks.nodes.bridge", "is malformed", "a Linux bridge"),
    Bad("networks/nodes/vlan", 4095, "networks.nodes.vlan", "less than or equal to 4094", "a VLAN id from 1"),
    Bad("networks/nodes/vlans", 4, "networks.nodes.vlans", "is not a setting", "known here: bridge, cidr, dhcp"),
    Bad("networks/nodes/dhcp", ["10.20.0.100"], "networks.nodes.dhcp[0]", "valid dictionary", "[10.20.0.100-"),
    Bad("networks/nodes/dhcp", ["10.20.0.9-10.20.0.8"], "networks.nodes.dhcp[0]", "begins with 10.20.0.9", "pools"),
    Bad("networks/nodes/dhcp", ["10.20.0.200-10.20.1.9"], "networks.nodes.dhcp[0]", "is not inside", "both ends"),
    Bad("networks/lan/cidr", "10.20.0.128/25", "networks.lan.cidr", "overlaps networks.nodes.cidr", "of its own", 1),
    Bad(
        "networks/lan", {"cidr": "10.42.7.0/24"}, "kubernetes.cluster_cidr", "overlaps networks.lan.cidr", "its own", 1
    ),
    Bad("networks/nodes", MISSING, "networks.nodes", "is missing", "a mapping with"),
    # The firewall.
    Bad("firewall/endpoint", "pfsense", "firewall.endpoint", "is malformed", "an https:// URL"),
    Bad("firewall/interfaces", MISSING, "firewall.interfaces", "is missing", "a mapping with"),
    Bad("firewall/interfaces/nodes", "wan", "firewall.interfaces.nodes", "is malformed", "lan, or opt1"),
    Bad("firewall/interfaces/nodes", "lan", "firewall.interfaces.lan", "is also that of nodes", "leads to each"),
    Bad("firewall/interfaces/vpn", "opt2", "firewall.interfaces.vpn", "which there is not", "networks.vpn"),
    Bad("firewall/operators/0", "10.20.0.77", "firewall.operators[0]", "neither in networks.lan", "an address there"),
    Bad("firewall/interfaces/lan", MISSING, "firewall.operators[0]", "neither in networks.lan", "interface in"),
    Bad("nodes/1/name", "api", "nodes[1].name", "is also the name of the API", "a name of its own"),
    Bad("nodes/1/name", "pve2", "nodes[1].name", "is also the name of proxmox.hosts[1]", "a name of its own"),
    Bad("name", "h" * 22, "name", "is too long for a lab with a firewall", "at most 21"),
    # Machines.
    Bad("nodes", [], "nodes", "at least 1 item", "one entry for each machine"),
    Bad("nodes/1/name", "k3s-server-1", "nodes[1].name", "is also that of nodes[0]", "its own name"),
    Bad("nodes/1/name", "k3s_2", "nodes[1].name", "is malformed", "lower-case letters, digits"),
    Bad("nodes/1/vm_id", 99, "nodes[1].vm_id", "greater than or equal to 100", "100 or more"),
    Bad("nodes/1/address", "10.20.0.11", "nodes[1].address", "is also that of nodes[0]", "its own address"),
    Bad("nodes/1/address", "10.30.0.12", "nodes[1].address", "is outside networks.nodes.cidr", "choose an address of"),
    Bad("nodes/1/address", "10.20.0.255", "nodes[1].address", "network or broadcast", "between the two"),
    Bad("nodes/1/address", "10.20.0.120", "nodes[1].address", "in the DHCP pool 10.20.0.100-", "outside of the pool"),
    Bad("nodes/1/address", "fd00::12", "nodes[1].address", "IPv6 is not supported", "static IPv4 address"),
    Bad("nodes/1/address", MISSING, "nodes[1].address", "is missing", "a free static IPv4 address"),
    Bad("nodes/1/mac", "03:00:00:00:00:01", "nodes[1].mac", "is malformed", "a unicast MAC address"),
    Bad("nodes/1/mac", "bc:24:11:00:07:db", "nodes[1].mac", "is also that of nodes[0]", "its own mac"),
    Bad("nodes/1/vm_id", 20_000_000, "nodes[1].mac", "is malformed", "and a VM id below"),
    Bad("nodes/1/host", "pve9", "nodes[1].host", "is not in proxmox.hosts", "use one of pve1, pve2, pve3"),
    Bad("nodes/1/host", "pve1", "nodes", "2 of 3 servers are on host pve1, whose loss", "at most 1 on each host"),
    Bad("nodes/1/role", "agent", "nodes", "2 servers", "have 1, 3 or 5 nodes with role server", 1),
    Bad("nodes/1/role", "master", "nodes[1].role", "'server' or 'agent'", "server (control plane and etcd) or agent"),
    Bad("nodes/1/cores", 1, "nodes[1].cores", "is too small for a server", "give it 2 cores"),
    Bad("nodes/1/memory", 1536, "nodes[1].memory", "is too small for a server", "give it 2048 MiB"),
    Bad("nodes/1/disks/system", 4, "nodes[1].disks.system", "greater than or equal to 8", "in GiB, 8 or more"),
    Bad("nodes/3/disks/etcd", 16, "nodes[3].disks.etcd", "a disk for etcd on an agent", "only servers run etcd"),
    Bad("nodes/3/disk", 60, "nodes[3].disk", "is not a setting", "known here: address, cores, disks"),
    Bad("ssh", {"user": "Root"}, "ssh.user", "is malformed", "the account that cloud-init makes"),
    Bad("ssh", {"port": 70_000}, "ssh.port", "less than or equal to 65535", "a TCP port"),
    Bad(
        "nodes/4/disks",
        {"longhorn": 50},
        "nodes[4].disks.longhorn",
        "without storage",
        "add storage",
        0,
        without_storage,
    ),
    Bad(
        "networks/lan/vlan",
        20,
        "networks.lan.vlan",
        "also that of networks.nodes",
        "a VLAN of its own",
        0,
        with_vlans_pools_and_neighbours,
    ),
    # The cluster.
    Bad("kubernetes/api_address", "10.20.0.11", "kubernetes.api_address", "the address of nodes[0]", "a free address"),
    Bad("kubernetes/api_address", "10.20.0.1", "kubernetes.api_address", "of networks.nodes.gateway", "a free address"),
    Bad("kubernetes/api_address", "10.9.0.9", "kubernetes.api_address", "is outside networks.nodes.cidr", "choose an"),
    Bad(
        "kubernetes/api_address", "10.20.0.130", "kubernetes.api_address", "is in the DHCP pool", "outside of the pool"
    ),
    Bad(
        "kubernetes/service_cidr", "10.42.128.0/17", "kubernetes.service_cidr", "overlaps kubernetes.cluster", "its own"
    ),
    Bad("kubernetes/service_cidr", "10.44.0.0/28", "kubernetes.service_cidr", "does not take", "from /12 to /27"),
    Bad("kubernetes/cluster_cidr", "10.0.0.0/8", "kubernetes.cluster_cidr", "overlaps networks.nodes", "its own", 1),
    Bad("kubernetes/cluster_cidr", "10.50.0.0/22", "kubernetes.cluster_cidr", "is too small: each of 6", "use a /21"),
    Bad("kubernetes/version", "1.34.3", "kubernetes.version", "is malformed", "a release of K3s such as"),
    Bad("kubernetes/version", "v1.28.5+k3s1", "kubernetes.version", "1.28", "1.34", 3),
    # What runs in it.
    Bad(
        "applications/hub/image", "ghcr.io/a/hub:latest", "applications.hub.image", "the moving tag latest", "a version"
    ),
    Bad("applications/hub/image", "ghcr.io:443/a/hub", "applications.hub.image", "has no tag", "name a version"),
    Bad("applications/hub/image", "Hub: 1", "applications.hub.image", "is malformed", "a tag that never moves"),
    Bad("applications/hub/replicas", 7, "applications.hub.replicas", "is more than the 6 nodes", "6 or less"),
    Bad("applications/hub/memory", 0, "applications.hub.memory", "greater than or equal to 16", "memory in MiB"),
    Bad("applications/Hub", {"image": "a:1"}, "applications.Hub", "is malformed", "own applications by name"),
    Bad("applications/argocd", {"image": "a:1"}, "applications.argocd", "a namespace of the lab's own", "otherwise"),
    Bad("applications/kube-x", {"image": "a:1"}, "applications.kube-x", "a namespace of the lab's own", "otherwise"),
    Bad("storage/replicas", 4, "storage.replicas", "is more than the 3 nodes with a disk", "give more nodes"),
    Bad("storage/replicas", 0, "storage.replicas", "greater than or equal to 1", "copies of each volume"),
    Bad(
        "databases",
        {"mysql": {"volume": 9}},
        "databases.mysql",
        "has no storage",
        "add storage: {}",
        0,
        without_storage,
    ),
    Bad("observability", {"logs": {}}, "observability.logs", "has no storage", "add storage: {}", 0, without_storage),
    Bad("backups", {"target": "nfs://nas:/a"}, "backups", "nothing to back up", "add storage", 0, without_storage),
    Bad("databases/mysql/volume", 0, "databases.mysql.volume", "greater than or equal to 1", "size in GiB"),
    Bad("databases/mongodb/members", 2, "databases.mongodb.members", "1 or 3", "a replica set that survives"),
    Bad("databases/postgres", {}, "databases.postgres", "is not a setting", "known here: influxdb, mongodb, mysql"),
    Bad("observability/logs/nodes", 5, "observability.logs.nodes", "1 or 3", "an Elasticsearch that survives"),
    Bad("observability/traces/retention_days", 0, "observability.traces.retention_days", "equal to 1", "days, 1 or"),
    Bad("backups", MISSING, "databases", "that no backup covers", "add backups with a target, or set protect: false"),
    Bad("backups/target", "s3://bucket", "backups.target", "is malformed", "s3://bucket@region/"),
    Bad("backups/schedule", "@daily", "backups.schedule", "is malformed", "five fields of cron"),
    # The way in.
    Bad("edge/zone", "example.com", "edge.zone", "is malformed", "32 hex digits"),
    Bad("edge/groups/family", ["me"], "edge.groups.family[0]", "is malformed", "mail addresses by group"),
    Bad(
        "edge/groups/admins",
        [],
        "edge.hostnames[1].access",
        "is an empty group",
        "add mail addresses to edge.groups",
        2,
    ),
    Bad("edge/hostnames/0/name", "hub.example.org", "edge.hostnames[0].name", "not directly below", "hub.lab.example"),
    Bad("edge/hostnames/0/name", "a.hub.lab.example.com", "edge.hostnames[0].name", "not directly below", "a.lab.exam"),
    Bad(
        "edge/hostnames/1/name", "hub.lab.example.com", "edge.hostnames[1].name", "edge.hostnames[0]", "each name once"
    ),
    Bad("edge/hostnames/0/access", MISSING, "edge.hostnames[0].access", "has no access rule", "set public: true"),
    Bad("edge/hostnames/0/access", ["all"], "edge.hostnames[0].access", "is not in edge.groups", "known: admins, fam"),
    Bad("edge/hostnames/0/public", True, "edge.hostnames[0].public", "is public and has an access rule", "decide for"),
    Bad("edge/hostnames/0/service", "wiki", "edge.hostnames[0].service", "is no service of this lab", "hub, argocd"),
    Bad("observability/logs", MISSING, "edge.hostnames[3].service", "is no service of this lab", "use one of hub"),
    # Sizes.
    Bad("nodes/0/memory", 63_488, "proxmox.hosts[0].memory", "machines ask for 79872 MiB", "k3s-server-1, k3s-agent-1"),
    Bad("nodes/0/cores", 64, "proxmox.hosts[0].cores", "ask for 70 vCPU, and there are 32", "proxmox.overcommit.cpu"),
    Bad("nodes/0/disks/system", 300, "proxmox.hosts[0].datastores.local-lvm", "ask for 676 GiB", "overcommit.disk"),
    Bad("observability/logs/memory", 16_000, "nodes", "no node has room for elasticsearch", "more cores or memory"),
    Bad("applications/hub/memory", 11_000, "nodes", "when k3s-agent-1 is lost, no node has room for", "add one, or"),
    Bad("applications/hub/cpu", 5_900, "nodes", "no node has room for hub", "add one, or make what the pods ask for"),
    Bad("databases/mysql/volume", 271, "storage", "no disk has room for the volumes of mysql", "make disks.longhorn"),
    Bad("databases/influxdb/volume", 140, "storage", "is lost, no disk has room", "make disks.longhorn larger"),
]


def faults(data: object) -> tuple[Fault, ...]:
    try:
        read_lab(data)
    except LabError as error:
        return error.faults
    return ()


@pytest.mark.parametrize("bad", BAD, ids=[f"{bad.at}={bad.value}"[:60] for bad in BAD])
def test_one_change_from_a_good_lab_is_refused_at_its_field_with_its_fix(bad: Bad) -> None:
    found = faults(changed(bad.good(), bad.at, bad.value))
    assert any(
        fault.path == f"lab.{bad.field}" and bad.problem in fault.problem and bad.fix in fault.fix for fault in found
    ), "\n".join(map(str, found))
    assert len(found) == 1 + bad.others, "\n".join(map(str, found))


def test_there_are_enough_of_them_all_different_and_all_together_take_less_than_five_seconds() -> None:
    assert len({(bad.at, str(bad.value)) for bad in BAD}) == len(BAD) >= 60
    begun = time.monotonic()
    assert all(faults(changed(bad.good(), bad.at, bad.value)) for bad in BAD)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("section", "value", "charts"),
    [
        ("databases", {}, []),
        ("storage", {"replicas": 2}, ["Longhorn"]),
        ("databases", {"mongodb": {"volume": 1}}, ["MongoDB's operator"]),
        ("observability", {"metrics": {}}, ["kube-prometheus-stack"]),
        ("observability", {"logs": {}}, ["ECK"]),
        ("observability", {"traces": {}}, ["opentelemetry-collector", "Tempo"]),
    ],
)
def test_a_release_of_k3s_has_to_suit_what_the_lab_has_and_nothing_else(
    section: str, value: Data, charts: list[str]
) -> None:
    data = of_size(3, 2)
    data["kubernetes"]["version"] = "v1.20.1+k3s1"
    found = faults(changed(data, section, value))
    problems = [fault.problem for fault in found if fault.path == "lab.kubernetes.version"]
    assert [problem.split("; ")[1].rpartition(" is for ")[0].rpartition(" ")[0] for problem in problems] == [
        "Argo CD",
        *charts,
    ]


def test_every_fault_is_reported_at_once_those_of_fields_and_those_between_fields() -> None:
    data = production()
    del data["domain"]
    data["nodes"][0]["mac"] = "nonsense"
    data["nodes"][2]["name"] = "k3s-server-2"
    data["nodes"][3]["host"] = "pve9"
    data["edge"]["hostnames"][2]["access"] = []
    found = [fault.path for fault in faults(data)]
    expected = ["domain", "nodes[0].mac", "nodes[2].name", "nodes[3].host", "edge.hostnames[2].access"]
    assert sorted(found) == sorted(f"lab.{path}" for path in expected)


def test_a_machine_that_cannot_be_read_is_not_counted_as_one_that_is_missing() -> None:
    data = changed(production(), "applications/hub/replicas", 6)
    data = changed(data, "storage/replicas", 3)
    for index in (0, 3):
        found = faults(changed(data, f"nodes/{index}/memory", "much"))
        assert [fault.path for fault in found] == [f"lab.nodes[{index}].memory"]


def test_a_number_of_servers_that_is_wrong_is_one_fault_wherever_they_are() -> None:
    assert [fault.problem for fault in faults(of_size(2, 1, hosts=1))] == ["2 servers"]


def test_a_host_that_cannot_be_read_is_not_one_that_machines_lack() -> None:
    found = faults(changed(production(), "proxmox/hosts/0/cores", "many"))
    assert [fault.path for fault in found] == ["lab.proxmox.hosts[0].cores"]


@pytest.mark.parametrize("data", [None, [], "lab", 7, {}, {"nodes": {}}, {"nodes": [None]}, {"edge": {"hostnames": 1}}])
def test_what_is_no_lab_at_all_is_refused_and_breaks_nothing(data: object) -> None:
    assert faults(data)


def test_a_value_that_may_be_anything_is_not_repeated_when_it_is_no_single_value() -> None:
    (fault,) = faults(changed(production(), "name", {"secret": "SENTINEL"}))
    assert "SENTINEL" not in str(fault)

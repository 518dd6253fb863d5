"""Labs that are good, and the means to spoil one of them in one place."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHECKSUM = "0" * 128

Data = dict[str, Any]


class Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def stack_file(stack: str) -> Data:
    return dict(yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"])


def development() -> Data:
    return dict(stack_file("dev")["homelab:lab"])


def production() -> Data:
    """The example of a real lab, with the checksum that it leaves to the operator: every section is in it."""
    data = dict(stack_file("prod")["homelab:lab"])
    data["proxmox"]["image"]["checksum"] = CHECKSUM
    return data


def smallest() -> Data:
    """One machine on one host, and only what has no default."""
    return {
        "name": "tiny",
        "domain": "home.example.org",
        "protect": False,
        "proxmox": {
            "endpoint": "https://pve.home.example.org:8006",
            "hosts": [host("pve", 1)],
            "image": {"url": "https://images.example.org/d.qcow2", "checksum": CHECKSUM, "file_name": "d.qcow2"},
        },
        "networks": {
            "nodes": {"cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "dns": ["10.0.0.1"], "bridge": "vmbr0"},
        },
        "nodes": [node(1, "server", "pve")],
        "kubernetes": {"api_address": "10.0.0.11"},
        "gitops": {"repository": "https://git.example.org/lab.git", "revision": "main"},
    }


def host(name: str, number: int, **changed: Any) -> Data:
    datastores = {"local": 40, "local-lvm": 1000}
    return {
        "name": name,
        "address": f"10.0.0.{number + 1}",
        "cores": 16,
        "memory": 65536,
        "datastores": datastores,
        **changed,
    }


def node(number: int, role: str, on: str, **changed: Any) -> Data:
    return {
        "name": f"node-{number}",
        "role": role,
        "host": on,
        "vm_id": 100 + number,
        "address": f"10.0.0.{10 + number}",
        **changed,
    }


def of_size(servers: int, agents: int, hosts: int = 3, **changed: Any) -> Data:
    """A lab of that many nodes, spread over hosts in turn."""
    data = smallest()
    names = [f"pve{number}" for number in range(1, hosts + 1)]
    data["proxmox"]["hosts"] = [host(name, number, **changed) for number, name in enumerate(names, 1)]
    roles = ["server"] * servers + ["agent"] * agents
    data["nodes"] = [node(number, role, names[number % hosts]) for number, role in enumerate(roles, 1)]
    data["kubernetes"]["api_address"] = "10.0.0.10"
    return data


def with_a_single_server_and_an_agent() -> Data:
    return of_size(1, 1, hosts=1)


def with_three_servers_and_no_agent() -> Data:
    return of_size(3, 0)


def with_five_servers() -> Data:
    return of_size(5, 2)


def with_thirty_nodes() -> Data:
    return of_size(3, 27)


def with_vlans_pools_and_neighbours() -> Data:
    data = of_size(3, 2)
    data["networks"]["nodes"] |= {"vlan": 20, "dhcp": ["10.0.0.100-10.0.0.150", "10.0.0.200-10.0.0.254"]}
    data["networks"]["management"] = {"cidr": "10.0.9.0/24", "vlan": 9}
    data["networks"]["lan"] = {"cidr": "192.168.1.0/24", "dhcp": ["192.168.1.20-192.168.1.20"]}
    data["networks"]["vpn"] = {"cidr": "10.8.0.0/24"}
    for number, one in enumerate(data["proxmox"]["hosts"], 2):
        one["address"] = f"10.0.9.{number}"
    return data


def with_images_from_everywhere() -> Data:
    data = of_size(3, 2)
    data["applications"] = {
        "by-digest": {"image": f"ghcr.io/owner/name@sha256:{'0f' * 32}"},
        "by-port": {"image": "registry.home.example.org:5000/a/b_c/d.e:1.0", "replicas": 5},
        "by-hub": {"image": "nginx:1.29.3-alpine"},
    }
    return data


def for_trial_with_data_and_no_backup() -> Data:
    data = of_size(3, 2)
    data["storage"] = {"replicas": 1}
    data["nodes"][3]["disks"] = {"longhorn": 100}
    data["databases"] = {"mysql": {"volume": 10}, "mongodb": {"volume": 10}}
    return data


def with_a_public_name_and_an_nfs_backup() -> Data:
    data = production()
    data["edge"]["hostnames"][0] = {"name": "hub.lab.example.com", "service": "hub", "public": True}
    data["backups"] = {"target": "nfs://10.20.0.5:/backups/lab"}
    return data


GOOD: dict[str, Callable[[], Data]] = {
    one.__name__: one
    for one in (
        development,
        production,
        smallest,
        with_a_single_server_and_an_agent,
        with_three_servers_and_no_agent,
        with_five_servers,
        with_thirty_nodes,
        with_vlans_pools_and_neighbours,
        with_images_from_everywhere,
        for_trial_with_data_and_no_backup,
        with_a_public_name_and_an_nfs_backup,
    )
}


def changed(good: Data, path: str, value: object) -> Data:
    """A copy of a good lab with one value changed, added or removed."""
    data = copy.deepcopy(good)
    at: Any = data
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in way:
        at = at[step]
    if value is MISSING:
        del at[last]
    else:
        at[last] = value
    return data

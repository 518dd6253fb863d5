"""What the configuration refuses, and how: every fault at once, with its field, its value and its fix."""

import copy
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from config.load import load
from config.model import Lab
from config.rules import LabError, read_lab
from tests.harness import is_output_secret, record

ROOT = Path(__file__).parents[2]
TOKEN = "root@pam!pulumi=11111111-2222-3333-4444-555555555555"


class Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def stack_file(stack: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"])


def good() -> dict[str, Any]:
    return copy.deepcopy(stack_file("dev")["homelab:lab"])


def with_(path: str, value: object) -> dict[str, Any]:
    """A good lab with one value changed, or removed."""
    data = good()
    at: Any = data
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        at = at[step]
    if value is MISSING:
        del at[last]
    else:
        at[last] = value
    return data


def faults(data: object) -> list[str]:
    try:
        read_lab(data)
    except LabError as error:
        return [str(fault) for fault in error.faults]
    return []


def test_the_development_lab_is_good() -> None:
    lab = read_lab(good())
    assert [node.name for node in lab.servers] == ["k3s-server-1", "k3s-server-2", "k3s-server-3"]
    assert len(lab.nodes) == 5
    assert lab.protect is False


def test_the_production_example_lacks_nothing_but_the_images_checksum() -> None:
    data = stack_file("prod")["homelab:lab"]
    assert faults(data) == [
        (
            "lab.proxmox.image.checksum: is missing. Fix: the image's SHA-512 in lower case, 128 hex digits, "
            "from the SHA512SUMS file beside the image."
        )
    ]
    data["proxmox"]["image"]["checksum"] = "0" * 128
    assert read_lab(data).protect is True


def test_defaults_are_the_publishers_addresses_and_proxmoxs_datastores() -> None:
    data = stack_file("prod")["homelab:lab"]
    data["proxmox"]["image"]["checksum"] = "0" * 128
    for key in ("images", "disks"):
        del data["proxmox"][key]
    lab = read_lab(data)
    assert (lab.proxmox.images, lab.proxmox.disks) == ("local", "local-lvm")
    assert lab.kubernetes.release_url == "https://github.com/k3s-io/k3s/releases/download"
    assert lab.gitops.argocd_charts == "https://argoproj.github.io/argo-helm"
    assert lab.ssh.port == 22


BAD = [
    ("name", "Home Lab", "lab.name = Home Lab: is malformed. Fix: a short name for the lab"),
    ("domain", "localhost", "lab.domain = localhost: is malformed. Fix: a DNS domain"),
    (
        "proxmox.endpoint",
        "http://pve:8006",
        "lab.proxmox.endpoint = http://pve:8006: is malformed. Fix: an https:// URL",
    ),
    ("proxmox.endpoint", "https://root:pw@pve", "lab.proxmox.endpoint"),
    ("proxmox.hosts", [], "lab.proxmox.hosts: "),
    ("proxmox.hosts", ["pve1", "pve2", "pve3", "pve1"], "lab.proxmox.hosts = pve1: is listed 2 times"),
    ("proxmox.image.checksum", "A" * 128, "the image's SHA-512 in lower case, 128 hex digits"),
    ("proxmox.image.checksum", MISSING, "lab.proxmox.image.checksum: is missing"),
    ("proxmox.image.file_name", "debian.iso", "lab.proxmox.image.file_name = debian.iso: is malformed"),
    ("proxmox.bridge", "vmbr 0", "lab.proxmox.bridge = vmbr 0: is malformed. Fix: a Linux bridge"),
    ("proxmox.vlan", 4095, "lab.proxmox.vlan = 4095: input should be less than or equal to 4094. Fix: a VLAN id"),
    ("proxmox.vlans", 4, "lab.proxmox.vlans = 4: is not a setting. Fix: remove it; known here: bridge, disks,"),
    ("network.cidr", "127.10.0.5/16", "lab.network.cidr = 127.10.0.5/16: "),
    ("network.gateway", "10.0.0.1", "lab.network.gateway = 10.0.0.1: is outside network.cidr 127.10.0.0/16"),
    ("network.gateway", "127.10.0.11", "lab.network.gateway = 127.10.0.11: is also the address of nodes[0]"),
    ("network.dns", [], "lab.network.dns: "),
    ("ssh.user", "Root", "lab.ssh.user = Root: is malformed. Fix: the account that cloud-init makes"),
    ("ssh.port", 70_000, "lab.ssh.port = 70000: "),
    ("nodes.1.name", "k3s-server-1", "lab.nodes[1].name = k3s-server-1: is also that of nodes[0]"),
    ("nodes.1.vm_id", 111, "lab.nodes[1].vm_id = 111: is also that of nodes[0]. Fix: give each node its own vm_id"),
    ("nodes.1.address", "127.10.0.11", "lab.nodes[1].address = 127.10.0.11: is also that of nodes[0]"),
    ("nodes.1.mac", "bc:24:11:00:01:11", "lab.nodes[1].mac = BC:24:11:00:01:11: is also that of nodes[0]"),
    ("nodes.1.mac", "03:00:00:00:00:01", "lab.nodes[1].mac = 03:00:00:00:00:01"),
    ("nodes.1.address", "127.11.0.12", "lab.nodes[1].address = 127.11.0.12: is outside network.cidr 127.10.0.0/16"),
    ("nodes.1.address", "127.10.0.0", "lab.nodes[1].address = 127.10.0.0: is the network or broadcast address"),
    ("nodes.1.address", "not-an-address", "lab.nodes[1].address = not-an-address: "),
    ("nodes.1.host", "pve9", "lab.nodes[1].host = pve9: is not in proxmox.hosts. Fix: use one of pve1, pve2, pve3"),
    ("nodes.1.host", "pve1", "lab.nodes: 2 of 3 servers are on host pve1, whose loss would stop the cluster"),
    ("nodes.1.role", "agent", "lab.nodes: 2 servers. Fix: have 1, 3 or 5 nodes with role server"),
    ("nodes.1.role", "master", "lab.nodes[1].role = master: "),
    ("nodes.1.vm_id", 99, "lab.nodes[1].vm_id = 99: "),
    ("nodes.1.cores", 0, "lab.nodes[1].cores = 0: "),
    ("nodes.1.memory", 512, "lab.nodes[1].memory = 512: "),
    ("nodes.1.disk", 4, "lab.nodes[1].disk = 4: "),
    ("nodes", [], "lab.nodes: "),
    (
        "kubernetes.api_address",
        "127.10.0.11",
        "lab.kubernetes.api_address = 127.10.0.11: is also the address of nodes[0]",
    ),
    ("kubernetes.api_address", "127.10.0.1", "lab.kubernetes.api_address = 127.10.0.1: is also the gateway"),
    ("kubernetes.api_address", "10.0.0.9", "lab.kubernetes.api_address = 10.0.0.9: is outside network.cidr"),
    (
        "kubernetes.service_cidr",
        "10.42.128.0/17",
        "lab.kubernetes.service_cidr = 10.42.128.0/17: overlaps kubernetes.clu",
    ),
    ("kubernetes.cluster_cidr", "127.0.0.0/8", "lab.kubernetes.cluster_cidr = 127.0.0.0/8: overlaps network.cidr"),
    ("gitops.repository", "git@github.com:a/b", "lab.gitops.repository = git@github.com:a/b: is malformed"),
    ("gitops.revision", "", "lab.gitops.revision"),
    ("protect", MISSING, "lab.protect: is missing. Fix: true refuses to delete machines"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}"[:60] for path, value, _ in BAD])
def test_a_bad_value_is_refused_with_its_field_its_value_and_its_fix(path: str, value: object, message: str) -> None:
    found = faults(with_(path, value))
    assert any(message in fault for fault in found), found
    assert all(". Fix: " in fault for fault in found)


def test_every_fault_is_reported_at_once_those_of_fields_and_those_between_fields() -> None:
    data = good()
    del data["domain"]
    data["nodes"][0]["mac"] = "nonsense"
    data["nodes"][2]["vm_id"] = 112
    data["nodes"][3]["host"] = "pve9"
    found = faults(data)
    for expected in ("lab.domain: is missing", "lab.nodes[0].mac = nonsense", "nodes[2].vm_id", "nodes[3].host"):
        assert any(expected in fault for fault in found), found
    # The machine that could not be read is reported once, not counted as a server that is missing.
    assert not any("servers" in fault for fault in found)


def test_a_single_server_is_a_lab_too() -> None:
    data = good()
    data["nodes"] = [data["nodes"][0], data["nodes"][3]]
    assert faults(data) == []


@pytest.mark.parametrize("data", [None, [], "lab", {}])
def test_what_is_no_lab_at_all_is_refused_without_a_stack_trace_of_its_own(data: object) -> None:
    assert faults(data)


def configure(lab: object, token: str | None = TOKEN) -> None:
    values = {"homelab:lab": lab if isinstance(lab, str) else json.dumps(lab)}
    if token is not None:
        values["homelab:proxmoxApiToken"] = token
    pulumi.runtime.set_all_config(values, ["homelab:proxmoxApiToken"])


def refusal() -> str:
    with pytest.raises(pulumi.RunError) as caught:
        record(load)
    return str(caught.value)


def test_loading_returns_the_lab_and_the_token_as_a_secret() -> None:
    configure(good())
    loaded: list[Any] = []
    record(lambda: loaded.extend(load()))
    lab, secrets = loaded
    assert isinstance(lab, Lab)
    assert is_output_secret(secrets.proxmox_api_token)
    assert TOKEN not in repr(lab)


def test_a_refusal_names_the_stack_the_faults_and_the_file_to_edit() -> None:
    configure(with_("protect", MISSING))
    assert refusal().splitlines() == [
        "the configuration of stack dev has 1 fault; nothing was changed:",
        (
            "  - lab.protect: is missing. Fix: true refuses to delete machines, their token and their key; "
            "false for a trial lab."
        ),
        "Edit Pulumi.dev.yaml and run again.",
    ]


def test_a_missing_token_is_one_of_the_faults_with_the_command_that_sets_it() -> None:
    configure(with_("domain", MISSING), token=None)
    message = refusal()
    assert "has 2 faults" in message
    assert "pulumi config set --stack dev --secret proxmoxApiToken" in message


def test_a_malformed_token_is_refused_without_being_shown() -> None:
    configure(good(), token="root@pam:SENTINEL")
    message = refusal()
    assert "proxmoxApiToken: is not of the form user@realm!name=uuid" in message
    assert "SENTINEL" not in message


def test_a_lab_that_is_no_structure_is_refused() -> None:
    configure("{not json")
    assert "lab: is not structured data" in refusal()


def test_a_stack_without_a_lab_is_refused() -> None:
    pulumi.runtime.set_all_config({"homelab:proxmoxApiToken": TOKEN}, ["homelab:proxmoxApiToken"])
    assert "lab" in refusal()

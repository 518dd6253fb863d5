"""Labs that are good: the smallest, the large ones, and each kind of choice once."""

from collections.abc import Callable

import pytest

from config import versions
from config.faults import LabError
from config.rules import read_lab
from tests.config.labs import GOOD, ROOT, Data, changed, development, of_size, production, smallest, stack_file


@pytest.mark.parametrize("make", GOOD.values(), ids=list(GOOD))
def test_a_good_lab_is_accepted(make: Callable[[], Data]) -> None:
    lab = read_lab(make())
    assert len(lab.nodes) == len(make()["nodes"])


def test_there_are_ten_of_them_or_more() -> None:
    assert len(GOOD) >= 10


def test_the_development_lab_has_three_servers_on_three_hosts() -> None:
    lab = read_lab(development())
    assert [node.name for node in lab.servers] == ["k3s-server-1", "k3s-server-2", "k3s-server-3"]
    assert len({node.host for node in lab.servers}) == 3
    assert lab.protect is False


def test_the_production_example_is_protected_and_uses_every_section() -> None:
    lab = read_lab(production())
    assert lab.protect is True
    missing = [name for name in type(lab).model_fields if getattr(lab, name) in (None, {})]
    assert missing == []


def test_a_small_lab_is_short_to_write_and_gets_the_publishers_addresses_and_proxmoxs_datastores() -> None:
    lab = read_lab(smallest())
    assert (lab.proxmox.images, lab.proxmox.disks) == ("local", "local-lvm")
    assert lab.kubernetes.release_url == "https://github.com/k3s-io/k3s/releases/download"
    assert lab.gitops.argocd_charts == "https://argoproj.github.io/argo-helm"
    assert lab.kubernetes.version == versions.K3S
    assert (lab.ssh.user, lab.ssh.port) == ("debian", 22)
    assert (lab.nodes[0].cores, lab.nodes[0].memory, lab.nodes[0].disks.system) == (2, 4096, 32)
    assert lab.storage is None
    assert lab.edge is None


def test_a_mac_address_comes_from_the_vm_id_unless_it_is_given() -> None:
    data = changed(smallest(), "nodes/0/vm_id", 0x01F2A3)
    assert read_lab(data).nodes[0].mac == "BC:24:11:01:F2:A3"
    assert read_lab(changed(data, "nodes/0/mac", "02:00:00:00:00:0a")).nodes[0].mac == "02:00:00:00:00:0A"


def test_a_single_server_may_be_where_the_api_answers() -> None:
    lab = read_lab(smallest())
    assert lab.kubernetes.api_address == lab.nodes[0].address


def test_a_network_of_two_addresses_has_no_reserved_ones() -> None:
    data = smallest()
    data["networks"]["nodes"] |= {"cidr": "10.0.0.10/31", "gateway": "10.0.0.10"}
    data["proxmox"]["hosts"][0]["address"] = None
    assert read_lab(data).nodes[0].address in read_lab(data).networks.nodes.cidr


def test_a_range_of_pods_with_one_part_for_each_node_is_wide_enough() -> None:
    data = changed(of_size(3, 1), "kubernetes/cluster_cidr", "10.50.0.0/22")
    assert len(read_lab(data).nodes) == 4


def test_a_lab_that_was_read_cannot_be_changed() -> None:
    lab = read_lab(smallest())
    with pytest.raises(ValueError, match="frozen"):
        lab.name = "other"  # type: ignore[misc]


def test_the_stacks_files_are_short_and_commented() -> None:
    for stack, limit in (("dev", 60), ("prod", 120)):
        text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
        lines = text.splitlines()
        assert len(lines) < limit
        assert sum(line.lstrip().startswith("#") for line in lines) >= 5


def test_the_production_example_leaves_nothing_but_the_images_checksum_to_the_operator() -> None:
    with pytest.raises(LabError) as refused:
        read_lab(stack_file("prod")["homelab:lab"])
    assert [fault.path for fault in refused.value.faults] == ["lab.proxmox.image.checksum"]

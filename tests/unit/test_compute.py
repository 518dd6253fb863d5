"""Machines that come from the API alone, and that nothing small can replace."""

from collections.abc import Sequence
from typing import Any

import pytest

from components.compute import Compute, ComputeArgs
from config.model import Lab
from tests.config.labs import Data, smallest
from tests.harness import Recording, open_strings, record

VM = "proxmoxve:index/vmLegacy:VmLegacy"
IMAGE = "proxmoxve:download/file:File"
KEY = "pulumi-python:dynamic/generated:SshKey"
CHECKSUM = "ab12cd34" + "0" * 120
COMPUTED = {KEY: {"private_key": "SENTINEL-private", "public_key": "ssh-ed25519 AAAA key"}}


def node(name: str, host: str, number: int, **changes: Any) -> Data:
    identity = {"name": name, "host": host, "vm_id": 100 + number, "address": f"10.0.0.{number}"}
    return {**identity, "role": "server", "mac": f"BC:24:11:00:00:{number}", **changes}


def run(nodes: Sequence[Data] = (), *, vlan: int | None = None, protect: bool = False, **datacenter: Any) -> Recording:
    data = {**smallest(), "domain": "lab.test", "protect": protect}
    data["nodes"] = nodes or [node("one", "pve1", 11), node("two", "pve2", 12), node("three", "pve1", 13)]
    data["networks"]["nodes"] |= {"dns": ["10.0.0.53"], "vlan": vlan}
    data["proxmox"]["image"] |= {"checksum": CHECKSUM, "file_name": "debian.qcow2"}
    data["proxmox"]["datacenter"] = datacenter
    return record(lambda: Compute("compute", ComputeArgs(lab=Lab.model_validate(data))), outputs=COMPUTED)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return run()


def test_each_host_in_use_downloads_the_image_once(recording: Recording) -> None:
    hosts = [recording.requests[urn].name for urn in recording.urns_of(IMAGE)]
    assert sorted(hosts) == ["compute-image-pve1", "compute-image-pve2"]


def test_an_image_is_verified_and_named_after_its_content(recording: Recording) -> None:
    image = recording.inputs(IMAGE, "compute-image-pve1")
    assert (image["checksumAlgorithm"], image["checksum"]) == ("sha512", CHECKSUM)
    assert (image["contentType"], image["fileName"]) == ("import", "debian-ab12cd34.qcow2")
    assert image["overwrite"] is False, "a growing file at the publisher's would replace the image"


def test_a_machine_is_imported_from_its_own_hosts_image_and_never_cloned(recording: Recording) -> None:
    vm = recording.inputs(VM, "two")
    assert vm["disks"][0]["importFrom"] == "compute-image-pve2-id"
    assert "clone" not in vm


def test_a_machine_has_the_identity_that_the_lab_gives_it(recording: Recording) -> None:
    vm = recording.inputs(VM, "one")
    assert (vm["vmId"], vm["nodeName"], vm["name"]) == (111, "pve1", "one")
    assert vm["networkDevices"][0]["macAddress"] == "BC:24:11:00:00:11"
    assert vm["initialization"]["ipConfigs"] == [{"ipv4": {"address": "10.0.0.11/24", "gateway": "10.0.0.1"}}]
    assert vm["initialization"]["dns"] == {"domain": "lab.test", "servers": ["10.0.0.53"]}


def test_a_machine_lets_in_the_generated_key_and_no_password(recording: Recording) -> None:
    account = recording.inputs(VM, "one")["initialization"]["userAccount"]
    assert account == {"username": "debian", "keys": ["ssh-ed25519 AAAA key"]}


def test_no_machine_waits_for_an_agent(recording: Recording) -> None:
    assert recording.inputs(VM, "one")["agent"] == {"enabled": False}


def test_tags_are_sorted_as_proxmox_returns_them(recording: Recording) -> None:
    assert recording.inputs(VM, "one")["tags"] == ["k3s", "server"]


def test_each_disk_has_a_place_of_its_own_so_that_one_that_is_added_moves_no_other() -> None:
    def places(**disks: int) -> dict[str, int]:
        recorded = run([node("one", "pve1", 11, disks=disks)]).inputs(VM, "one")["disks"]
        assert [disk["interface"] for disk in recorded if "importFrom" in disk] == ["scsi0"]
        return {disk["interface"]: disk["size"] for disk in recorded}

    assert places(system=40) == {"scsi0": 40}
    assert places(system=40, etcd=16) == {"scsi0": 40, "scsi1": 16}
    assert places(system=40, longhorn=100) == {"scsi0": 40, "scsi2": 100}
    assert places(system=40, etcd=16, longhorn=100) == {"scsi0": 40, "scsi1": 16, "scsi2": 100}


def test_every_disk_has_a_limit_since_none_would_differ_at_each_preview() -> None:
    full = node("one", "pve1", 11, disks={"system": 40, "etcd": 16, "longhorn": 100})
    assert [disk["speed"] for disk in run([full]).inputs(VM, "one")["disks"]] == [{"read": 10_000}] * 3


def test_a_new_key_or_image_replaces_no_running_machine(recording: Recording) -> None:
    ignored = list(recording.request(VM, "one").ignoreChanges)
    assert ignored == ["initialization.userAccount", "disks[0].importFrom"]


def test_a_machine_that_the_hosts_may_move_is_not_made_anew_where_it_was_before() -> None:
    ignored = list(run(high_availability=True).request(VM, "one").ignoreChanges)
    assert ignored == ["initialization.userAccount", "disks[0].importFrom", "nodeName"]


def test_a_machine_is_made_in_the_pool_at_which_the_tokens_rights_end(recording: Recording) -> None:
    assert recording.inputs(VM, "one")["poolId"] == "homelab"


def test_servers_start_before_agents_only_where_the_right_to_order_them_is_given(recording: Recording) -> None:
    assert "startup" not in recording.inputs(VM, "one")
    both = run([node("one", "pve1", 11), node("two", "pve1", 12, role="agent")], start_order=True)
    orders = {name: both.inputs(VM, name)["startup"]["order"] for name in ("one", "two")}
    assert orders["one"] < orders["two"]


def test_a_disk_for_volumes_is_not_in_the_machines_backup_since_each_replica_would_be() -> None:
    full = run([node("one", "pve1", 11, disks={"system": 40, "etcd": 16, "longhorn": 100})]).inputs(VM, "one")
    assert {disk["interface"]: disk.get("backup", True) for disk in full["disks"]} == {
        "scsi0": True,
        "scsi1": True,
        "scsi2": False,
    }


def test_a_machines_card_is_behind_the_firewall_once_it_has_rules(recording: Recording) -> None:
    assert recording.inputs(VM, "one")["networkDevices"][0]["firewall"] is False
    assert run(firewall_group=True).inputs(VM, "one")["networkDevices"][0]["firewall"] is True


def test_a_replaced_machine_gives_up_its_id_and_address_first(recording: Recording) -> None:
    assert recording.request(VM, "one").deleteBeforeReplace is True


def test_a_vlan_is_set_only_where_there_is_one(recording: Recording) -> None:
    assert "vlanId" not in recording.inputs(VM, "one")["networkDevices"][0]
    assert run(vlan=20).inputs(VM, "one")["networkDevices"][0]["vlanId"] == 20


@pytest.mark.parametrize("protect", [True, False])
def test_machines_and_their_key_are_protected_when_the_lab_is(protect: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    recording = run(protect=protect)
    kept = {request.type: request.protect for request in recording.requests.values()}
    assert (kept[VM], kept[KEY]) == (protect, protect)


def test_the_layers_above_get_addresses_that_wait_for_their_machines(recording: Recording) -> None:
    outputs = recording.outputs_of("homelab:compute:Compute")
    assert outputs["addresses"] == {"one": "10.0.0.11", "two": "10.0.0.12", "three": "10.0.0.13"}
    assert outputs["machine_ids"] == {"one": "one-id", "two": "two-id", "three": "three-id"}


def test_the_private_key_leaves_the_layer_as_a_secret_only(recording: Recording) -> None:
    outputs = recording.outputs[recording.urn_of("homelab:compute:Compute")]
    assert "SENTINEL-private" not in [text for _, text in open_strings(outputs)]
    assert recording.outputs_of("homelab:compute:Compute")["private_key"] == "SENTINEL-private"

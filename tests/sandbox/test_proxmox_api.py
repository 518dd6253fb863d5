"""The Proxmox stand-in over HTTPS, as a client that trusts the sandbox's authority sees it."""

import json
import logging
import re
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.faults import Fault
from sandbox.proxmox import GIB, Datacenter, Host, Storage
from tests.sandbox.datacenter import ADDRESS, CHECKSUM, GUEST, IMAGE, TOKEN, VM, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def vm(lab: Lab) -> Lab:
    """A lab with VM 111 on pve1, stopped."""
    assert lab.download() == "OK"
    assert lab.create() == "OK"
    return lab


@pytest.fixture
def running(vm: Lab) -> Lab:
    assert vm.task("POST", f"{GUEST}/status/start") == "OK"
    return vm


# --- tokens and transport


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "No ticket"),
        ("PVEAPIToken=root@pam!other=" + TOKEN, "no such token 'other' for user 'root@pam'"),
        ("PVEAPIToken=root@pam!pulumi=" + TOKEN[:-1], "invalid token value!"),
        ("PVEAPIToken=root@pam!pulumi=", "invalid token value!"),
    ],
)
def test_a_request_without_a_known_token_is_refused_with_the_reason(lab: Lab, header: str, reason: str) -> None:
    answer = lab.client.get("/version", headers={"Authorization": header})
    assert (answer.status_code, answer.reason_phrase, answer.json()) == (401, reason, {"data": None})


def test_the_version_knows_the_content_type_import(lab: Lab) -> None:
    major, minor, *_ = map(int, lab.get("/version")["version"].split("."))
    assert (major, minor) >= (8, 4)


def test_what_is_not_modelled_is_refused_by_name_and_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = lab.request("GET", "/nodes/pve1/hardware/pci")
    assert answer.status_code == 501
    assert answer.json()["message"] == "Method 'GET /nodes/pve1/hardware/pci' not implemented\n"
    assert "GET /nodes/pve1/hardware/pci" in caplog.text


def test_an_option_that_a_host_knows_and_the_stand_in_does_not_is_no_unknown_option(vm: Lab) -> None:
    answer = vm.request("PUT", f"{GUEST}/config", hostpci0="0000:01:00.0")
    assert (answer.status_code, "hostpci0" in answer.json()["message"]) == (501, True)


# --- parameters


def test_all_faults_of_a_request_are_reported_at_once(lab: Lab) -> None:
    faults = lab.faults(
        "POST",
        "/nodes/pve1/qemu",
        **{**VM, "vmid": "7", "cores": "two", "name": "bad_name", "colour": "red", "bios": "lilo", "onboot": "maybe"},
    )
    assert faults == {
        "vmid": "value must have a minimum value of 100",
        "cores": "type check ('integer') failed - got 'two'",
        "name": "invalid format - value does not look like a valid DNS name",
        "colour": "property is not defined in schema and the schema does not allow additional properties",
        "bios": "value 'lilo' does not have a value in the enumeration 'seabios, ovmf'",
        "onboot": "type check ('boolean') failed - got 'maybe'",
    }


def test_a_missing_parameter_is_named(lab: Lab) -> None:
    assert lab.faults("PUT", f"{GUEST}/resize", disk="scsi0") == {"size": "property is missing and it is not optional"}


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("scsi1", "file=local-lvm:20,colour=red", "scsi1.colour: property is not defined"),
        ("scsi1", "iothread=1", "scsi1.file: property is missing"),
        ("net0", "model=virtio,bridge=vmbr0,macaddr=01:00:00:00:00:00", "unicast MAC"),
        ("net0", "bridge=vmbr0", "net0.model: property is missing"),
        ("ipconfig0", "ip=127.10.0.11", "valid ipv4 network configuration"),
        ("ipconfig0", "ip=dhcp,gw=127.10.0.1", "needs an address"),
        ("cpu", "x86-64-v9", "Built-in cputype 'x86-64-v9' is not defined"),
        ("sshkeys", "ssh-ed25519 AAAA lab", "invalid urlencoded string"),
        ("sshkeys", "hello", "SSH public key validation error"),
        ("tags", "k3s;ser ver;<b>", "invalid characters in tag"),
        ("memory", "8", "minimum value of 16"),
        ("agent", "type=virtio", "agent.enabled: property is missing"),
    ],
)
def test_a_malformed_option_of_a_machine_is_refused(lab: Lab, name: str, value: str, fault: str) -> None:
    faults = lab.faults("POST", "/nodes/pve1/qemu", **{**VM, name: value})
    assert list(faults) == [name]
    assert fault in faults[name]


def test_a_parameter_must_not_contradict_the_path(lab: Lab) -> None:
    given = {"node": "pve2", "content": "import", "filename": "debian.qcow2", "url": f"{lab.images}/debian.qcow2"}
    assert "node" in lab.faults("POST", "/nodes/pve1/storage/local/download-url", **given)
    assert lab.download(node="pve1", storage="local") == "OK"


# --- downloads


def test_a_download_really_fetches_the_file_into_the_state_folder(lab: Lab) -> None:
    assert lab.download(checksum=CHECKSUM.upper(), **{"checksum-algorithm": "sha256"}) == "OK"
    assert [file.read_bytes() for file in lab.folder.rglob("debian.qcow2")] == [IMAGE]
    assert lab.get("/nodes/pve1/storage/local/content", content="import")[0]["size"] == len(IMAGE)
    assert lab.content("local") == {"local:import/debian.qcow2": len(IMAGE)}
    assert lab.get("/nodes/pve2/storage/local/content") == []


def test_a_wrong_checksum_fails_the_task_and_leaves_nothing(lab: Lab) -> None:
    ended = lab.download(checksum="0" * 64, **{"checksum-algorithm": "sha256"})
    assert ended == f"checksum mismatch: got '{CHECKSUM}' != expect '{'0' * 64}'"
    assert lab.content("local") == {}
    assert not list((lab.folder / "proxmox").rglob("*debian*"))


def test_the_log_of_a_failed_task_says_why(lab: Lab) -> None:
    given = {"content": "import", "filename": "debian.qcow2", "url": f"{lab.images}/gone.qcow2"}
    upid = lab.ok("POST", "/nodes/pve1/storage/local/download-url", **given)
    lines = [line["t"] for line in lab.get(f"/nodes/pve1/tasks/{upid}/log")]
    assert lines[-1] == "TASK ERROR: download failed: 404 Not Found"


def test_an_existing_file_is_not_downloaded_over(lab: Lab) -> None:
    assert lab.download() == "OK"
    assert lab.download().startswith("refusing to override existing file")


def test_a_file_that_a_crash_left_behind_does_not_stand_in_the_way(lab: Lab) -> None:
    leftover = lab.folder / "proxmox/storage/pve1/local/import/debian.qcow2"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    assert lab.download() == "OK"
    assert leftover.read_bytes() == IMAGE


def test_a_server_that_the_sandbox_does_not_trust_is_not_downloaded_from(lab: Lab) -> None:
    lab.datacenter.trust = ssl.create_default_context()
    assert "certificate verify failed" in lab.download()
    assert lab.download(**{"verify-certificates": "0"}) == "OK"


@pytest.mark.parametrize(
    ("storage", "given", "fault"),
    [
        ("local", {"filename": "debian.txt"}, "invalid filename or wrong extension"),
        ("local", {"filename": "../x.qcow2"}, "invalid filename or wrong extension"),
        ("local", {"checksum": "00"}, "'checksum' requires this property"),
        ("local", {"content": "images"}, "does not have a value in the enumeration"),
        ("local-lvm", {}, "can't upload to storage type 'lvmthin'"),
        ("nas", {}, "storage 'nas' does not exist"),
    ],
)
def test_a_download_that_can_not_work_is_refused(lab: Lab, storage: str, given: dict[str, str], fault: str) -> None:
    wanted = {"content": "import", "filename": "debian.qcow2", "url": f"{lab.images}/debian.qcow2", **given}
    answer = lab.request("POST", f"/nodes/pve1/storage/{storage}/download-url", **wanted)
    assert answer.status_code in (400, 500)
    assert fault in answer.text


def test_url_metadata_come_from_the_server_of_the_url(lab: Lab) -> None:
    found = lab.get("/nodes/pve1/query-url-metadata", url=f"{lab.images}/debian.qcow2")
    assert found == {"filename": "debian.qcow2", "size": len(IMAGE), "mimetype": "application/octet-stream"}
    refused = lab.refused("GET", "/nodes/pve1/query-url-metadata", url=f"{lab.images}/gone")
    assert refused == "invalid server response: '404 Not Found'"


def test_a_file_is_deleted_by_its_url_encoded_volume_id(lab: Lab) -> None:
    lab.download()
    path = "/nodes/pve1/storage/local/content/local:import%2Fdebian.qcow2"
    assert lab.get(path)["format"] == "qcow2"
    assert lab.task("DELETE", path) == "OK"
    assert not list(lab.folder.rglob("debian.qcow2"))
    assert lab.refused("DELETE", path) == "volume 'local:import/debian.qcow2' does not exist"


# --- making machines


def test_a_new_machine_is_configured_with_the_types_that_clients_decode(vm: Lab) -> None:
    config = vm.config()
    assert [config[key] for key in ("cores", "sockets", "balloon", "onboot")] == [2, 1, 0, 1]
    assert [config[key] for key in ("memory", "cpu", "name", "agent")] == ["4096", "x86-64-v3", "server-1", VM["agent"]]
    assert config["net0"] == "virtio=BC:24:11:00:00:0B,bridge=vmbr0,firewall=0"
    assert config["scsi1"] == "local-lvm:vm-111-disk-1,iothread=1,size=20G"
    assert config["ide2"] == "local-lvm:vm-111-cloudinit,media=cdrom"
    assert re.fullmatch(r"[0-9a-f]{40}", config["digest"])


def test_an_imported_disk_has_the_virtual_size_of_the_image(vm: Lab) -> None:
    assert vm.config()["scsi0"] == "local-lvm:vm-111-disk-0,aio=io_uring,discard=on,size=3G,ssd=1"
    assert vm.content()["local-lvm:vm-111-disk-0"] == 3 * GIB
    assert vm.get("/nodes/pve1/storage/local-lvm/content/local-lvm:vm-111-disk-0")["format"] == "raw"


@pytest.mark.parametrize(
    ("given", "ended"),
    [
        (
            {"scsi0": "local-lvm:0,import-from=local:import/gone.qcow2"},
            "volume 'local:import/gone.qcow2' does not exist",
        ),
        ({"scsi0": "local-lvm:0"}, "unable to create a disk of size 0"),
        ({"scsi1": "local-lvm:900"}, "insufficient free space"),
        ({"scsi1": "local-lvm:vm-112-disk-0"}, "volume 'local-lvm:vm-112-disk-0' does not exist"),
    ],
)
def test_a_machine_whose_disks_can_not_be_made_is_not_made(lab: Lab, given: dict[str, str], ended: str) -> None:
    lab.download()
    assert lab.create(**given).startswith("unable to create VM 111 - ")
    assert ended in lab.create(**given)
    assert lab.content() == {}
    assert lab.get("/cluster/resources", type="vm") == []


def test_an_image_that_is_no_qcow2_is_refused(lab: Lab) -> None:
    lab.download(url=f"{lab.images}/text.qcow2")
    assert "not in qcow2 format" in lab.create()


@pytest.mark.parametrize(
    ("disk", "fault"),
    [
        ("file=nas:20", "storage 'nas' does not exist"),
        ("file=local:20", "storage 'local' does not support vm images"),
        ("file=local-lvm:0,import-from=local:iso/x.iso", "has type 'iso' - not 'images' or 'import'"),
    ],
)
def test_a_disk_in_the_wrong_place_is_refused_before_a_task_starts(lab: Lab, disk: str, fault: str) -> None:
    answer = lab.request("POST", "/nodes/pve1/qemu", **{**VM, "scsi1": disk})
    assert answer.status_code in (400, 500)
    assert fault in answer.text
    assert lab.get("/nodes/pve1/tasks") == []


def test_an_id_is_given_once_in_the_whole_cluster(vm: Lab) -> None:
    taken = vm.refused("POST", "/nodes/pve2/qemu", vmid="111", name="other")
    assert taken == "unable to create VM 111 - VM 111 already exists on node 'pve1'"
    assert vm.refused("POST", f"{GUEST}/clone", newid="111") == ("unable to create VM 111: config file already exists")


def test_next_id_is_free_and_a_taken_one_is_refused(vm: Lab) -> None:
    assert vm.get("/cluster/nextid") == "100"
    assert vm.get("/cluster/nextid", vmid="112") == "112"
    assert vm.faults("GET", "/cluster/nextid", vmid="111") == {"vmid": "VM 111 already exists"}


def test_a_card_without_a_mac_address_is_given_one_of_proxmox(vm: Lab) -> None:
    vm.ok("PUT", f"{GUEST}/config", net1="virtio,bridge=vmbr0,tag=20")
    assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0,tag=20", vm.config()["net1"])


def test_tags_are_kept_once_each_and_in_order(vm: Lab) -> None:
    vm.ok("PUT", f"{GUEST}/config", tags="server;K3s,server")
    assert vm.config()["tags"] == "k3s;server"


def test_a_password_is_never_kept_nor_shown(vm: Lab) -> None:
    vm.ok("PUT", f"{GUEST}/config", cipassword="sentinel-password")
    assert vm.config()["cipassword"] == "**********"
    assert "sentinel-password" not in json.dumps(vm.saved())
    assert "scrypt" not in vm.request("GET", f"{GUEST}/pending").text


def test_a_clone_has_disks_and_identities_of_its_own(vm: Lab) -> None:
    assert vm.task("POST", f"{GUEST}/template") == "OK"
    assert vm.config()["scsi0"].startswith("local-lvm:base-111-disk-0")
    assert vm.task("POST", f"{GUEST}/status/start") == "you can't start a vm if it's a template"
    assert vm.task("POST", f"{GUEST}/clone", newid="120", name="copy", full="1") == "OK"
    source, copy = vm.config(111), vm.config(120)
    assert (copy["name"], copy["cores"], "template" in copy) == ("copy", 2, False)
    assert copy["scsi0"].startswith("local-lvm:vm-120-disk-0")
    assert copy["ide2"] == "local-lvm:vm-120-cloudinit,media=cdrom"
    assert copy["smbios1"] != source["smbios1"]
    assert copy["net0"] != source["net0"]


# --- power


def test_a_start_hands_over_what_cloud_init_knows(running: Lab) -> None:
    machine = running.machines.machines[111]
    assert (machine.name, machine.node, str(machine.address), machine.user) == (
        "server-1",
        "pve1",
        "127.10.0.11",
        "lab",
    )
    assert machine.authorized_keys == ("ssh-ed25519 AAAAC3Nz lab", "ssh-rsa AAAAB3Nz ops")
    assert machine.disks == {"scsi0": 3 * GIB, "scsi1": 20 * GIB}
    assert (machine.cores, machine.memory, machine.mac) == (2, 4 * GIB, "BC:24:11:00:00:0B")
    assert machine.image == "local:import/debian.qcow2"


def test_a_machine_without_a_cloud_init_drive_knows_nothing(vm: Lab) -> None:
    vm.ok("PUT", f"{GUEST}/config", delete="ide2")
    vm.task("POST", f"{GUEST}/status/start")
    machine = vm.machines.machines[111]
    assert (machine.address, machine.user, machine.authorized_keys) == (None, None, ())


def test_a_machine_with_a_blank_disk_has_no_image(lab: Lab) -> None:
    assert lab.create(scsi0="local-lvm:8") == "OK"
    lab.task("POST", f"{GUEST}/status/start")
    assert lab.machines.machines[111].image is None


def test_the_instance_changes_with_the_keys_and_not_with_the_memory(running: Lab) -> None:
    first = running.machines.machines[111].instance_id
    for option, same in (("memory", True), ("sshkeys", False)):
        value = {"memory": "2048", "sshkeys": "ssh-ed25519%20AAAAnew%20lab"}[option]
        running.ok("PUT", f"{GUEST}/config", **{option: value})
        running.task("POST", f"{GUEST}/status/reboot")
        assert (running.machines.machines[111].instance_id == first) is same


@pytest.mark.parametrize("action", ["stop", "shutdown"])
def test_power_reaches_the_machine_once(running: Lab, action: str) -> None:
    assert running.get(f"{GUEST}/status/current")["status"] == "running"
    assert running.task("POST", f"{GUEST}/status/{action}") == "OK"
    assert running.task("POST", f"{GUEST}/status/{action}") == "OK"
    assert running.get(f"{GUEST}/status/current")["status"] == "stopped"
    assert running.machines.events == [("boot", 111), ("halt", 111)]


def test_a_running_machine_is_not_started_twice(running: Lab) -> None:
    assert running.task("POST", f"{GUEST}/status/start") == "VM 111 already running"
    assert running.machines.events == [("boot", 111)]


def test_a_machine_that_does_not_boot_stays_stopped(vm: Lab) -> None:
    vm.machines.broken = True
    assert vm.task("POST", f"{GUEST}/status/start") == "start failed: no address left"
    assert vm.get(f"{GUEST}/status/current")["status"] == "stopped"


@pytest.mark.parametrize(
    ("option", "value", "ended"),
    [
        ("cores", "9", "MAX 8 vcpus allowed per VM on this node"),
        ("memory", "16385", "Cannot allocate memory"),
        ("net0", "virtio,bridge=vmbr7", "bridge 'vmbr7' does not exist"),
    ],
)
def test_a_host_does_not_start_what_it_can_not_carry(vm: Lab, option: str, value: str, ended: str) -> None:
    vm.ok("PUT", f"{GUEST}/config", **{option: value})
    assert ended in vm.task("POST", f"{GUEST}/status/start")
    assert vm.machines.events == []


def test_memory_is_shared_by_the_machines_of_a_host(running: Lab) -> None:
    running.task("POST", "/nodes/pve1/qemu", vmid="112", memory="13000")
    assert "12288 MiB free on 'pve1'" in running.task("POST", "/nodes/pve1/qemu/112/status/start")
    running.task("POST", "/nodes/pve2/qemu", vmid="113", memory="13000")
    assert running.task("POST", "/nodes/pve2/qemu/113/status/start") == "OK"


def test_a_task_that_takes_its_time_is_running_until_it_ends(vm: Lab) -> None:
    vm.machines.gate = threading.Event()
    upid = vm.ok("POST", f"{GUEST}/status/start")
    assert re.fullmatch(r"UPID:pve1:[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:qmstart:111:root@pam!pulumi:", upid)
    assert vm.get(f"/nodes/pve1/tasks/{upid}/status")["status"] == "running"
    assert vm.get(f"{GUEST}/status/current")["status"] == "stopped"
    vm.machines.gate.set()
    while (task := vm.get(f"/nodes/pve1/tasks/{upid}/status"))["status"] == "running":
        pass
    assert task["exitstatus"] == "OK"


# --- changes


def test_a_running_machine_keeps_its_hardware_until_it_is_restarted(running: Lab) -> None:
    running.ok("PUT", f"{GUEST}/config", cores="4", memory="6144", name="renamed")
    assert (running.config()["cores"], running.config(current="1")["cores"]) == (4, 2)
    assert running.config(current="1")["name"] == "renamed"
    pending = {entry["key"]: entry.get("pending") for entry in running.get(f"{GUEST}/pending")}
    assert (pending["cores"], pending["memory"], pending["name"]) == (4, "6144", None)
    running.task("POST", f"{GUEST}/status/reboot")
    assert (running.machines.machines[111].cores, running.machines.machines[111].memory) == (4, 6 * GIB)
    assert not any("pending" in entry for entry in running.get(f"{GUEST}/pending"))


def test_a_disk_grows_while_the_machine_runs(running: Lab) -> None:
    assert running.task("PUT", f"{GUEST}/resize", disk="scsi0", size=str(40 * GIB)) == "OK"
    assert running.task("PUT", f"{GUEST}/resize", disk="scsi1", size="+5G") == "OK"
    assert running.config()["scsi0"] == "local-lvm:vm-111-disk-0,aio=io_uring,discard=on,size=40G,ssd=1"
    assert running.content()["local-lvm:vm-111-disk-1"] == 25 * GIB


@pytest.mark.parametrize(
    ("disk", "size", "ended"),
    [
        ("scsi0", "2G", "shrinking disks is not supported"),
        ("scsi0", "900G", "insufficient free space"),
        ("scsi7", "5G", "disk 'scsi7' does not exist"),
        ("ide2", "5G", "you can't resize a cdrom"),
    ],
)
def test_a_disk_is_not_resized_to_what_can_not_be(vm: Lab, disk: str, size: str, ended: str) -> None:
    before = vm.content()
    assert ended in vm.task("PUT", f"{GUEST}/resize", disk=disk, size=size)
    assert vm.content() == before


def test_new_options_of_a_disk_keep_its_volume_and_its_size(vm: Lab) -> None:
    vm.ok("PUT", f"{GUEST}/config", scsi1="file=local-lvm:vm-111-disk-1,iothread=1,backup=0,size=99G")
    assert vm.config()["scsi1"] == "local-lvm:vm-111-disk-1,backup=0,iothread=1,size=20G"


def test_a_removed_disk_is_kept_aside_until_it_is_deleted_too(vm: Lab) -> None:
    vm.ok("PUT", f"{GUEST}/config", delete="scsi1,net5,vcpus")
    assert "scsi1" not in vm.config()
    assert vm.config()["unused0"] == "local-lvm:vm-111-disk-1"
    vm.ok("PUT", f"{GUEST}/config", delete="unused0")
    assert "local-lvm:vm-111-disk-1" not in vm.content()


def test_a_failed_change_makes_no_disk(vm: Lab) -> None:
    before = vm.content()
    vm.refused("PUT", f"{GUEST}/config", scsi2="local-lvm:5", scsi3="local-lvm:vm-999-disk-0")
    assert vm.content() == before


def test_a_change_against_an_old_digest_is_refused(vm: Lab) -> None:
    digest = vm.config()["digest"]
    vm.ok("PUT", f"{GUEST}/config", description="first", digest=digest)
    assert "detected modified configuration" in vm.refused("PUT", f"{GUEST}/config", description="x", digest=digest)


# --- deleting


def test_a_deleted_machine_leaves_nothing(vm: Lab) -> None:
    assert vm.task("DELETE", f"{GUEST}/?destroy-unreferenced-disks=1&purge=1") == "OK"
    assert vm.content() == {}
    assert vm.machines.events == [("discard", 111)]
    assert vm.refused("GET", f"{GUEST}/status/current") == (
        "Configuration file 'nodes/pve1/qemu-server/111.conf' does not exist"
    )


def test_only_what_is_asked_for_is_freed(vm: Lab) -> None:
    vm.datacenter.allocate(vm.datacenter.state.guests[111], vm.datacenter.storage("pve1", "local-lvm"), GIB)
    assert vm.task("DELETE", f"{GUEST}/?destroy-unreferenced-disks=0&purge=1") == "OK"
    assert list(vm.content()) == ["local-lvm:vm-111-disk-2"]


def test_a_running_a_locked_and_a_protected_machine_are_not_deleted(running: Lab) -> None:
    assert running.task("DELETE", GUEST) == "VM 111 is running - destroy failed"
    running.task("POST", f"{GUEST}/status/stop")
    running.datacenter.state.guests[111].lock = "backup"
    assert running.task("DELETE", GUEST) == "VM is locked (backup)"
    assert running.refused("PUT", f"{GUEST}/config", cores="1") == "VM is locked (backup)"
    running.datacenter.state.guests[111].lock = None
    running.ok("PUT", f"{GUEST}/config", protection="1")
    assert running.refused("DELETE", GUEST) == "can't remove VM 111 - protection mode enabled"
    assert running.machines.events == [("boot", 111), ("halt", 111)]


# --- the cluster


def test_resources_name_the_host_of_a_machine(running: Lab) -> None:
    (found,) = running.get("/cluster/resources", type="vm")
    assert (found["vmid"], found["node"], found["status"], found["maxcpu"]) == (111, "pve1", "running", 2)
    assert found["maxdisk"] == 3 * GIB
    assert "does not exist" in running.refused("GET", "/nodes/pve2/qemu/111/config")
    kinds = [entry["type"] for entry in running.get("/cluster/resources")]
    assert (kinds.count("node"), kinds.count("storage"), kinds.count("qemu")) == (3, 12, 1)


def test_hosts_and_storages_tell_what_they_have(running: Lab) -> None:
    assert [host["node"] for host in running.get("/nodes")] == ["pve1", "pve2", "pve3"]
    assert running.get("/nodes/pve1/status")["memory"]["used"] == 4 * GIB
    storages = {entry["storage"]: entry for entry in running.get("/nodes/pve1/storage", content="images")}
    assert list(storages) == ["local-lvm", "ceph"]
    disks = sum(running.content().values())
    assert (storages["local-lvm"]["used"], running.get("/nodes/pve1/storage/local-lvm/status")["used"]) == (
        disks,
        disks,
    )
    assert "hostname lookup 'pve9' failed" in running.refused("GET", "/nodes/pve9/status")


def test_a_pool_holds_machines_and_is_deleted_only_when_empty(vm: Lab) -> None:
    assert [pool["poolid"] for pool in vm.get("/pools")] == ["homelab"]
    vm.ok("POST", "/pools", poolid="lab", comment="of the lab")
    assert "already exists" in vm.refused("POST", "/pools", poolid="lab")
    vm.ok("PUT", "/pools?poolid=lab", vms="111")
    assert [member["id"] for member in vm.get("/pools", poolid="lab")[0]["members"]] == ["qemu/111"]
    assert "not empty" in vm.refused("DELETE", "/pools?poolid=lab")
    assert vm.refused("PUT", "/pools?poolid=homelab", vms="111") == (
        "VM 111 belongs already to pool 'lab' and cannot be moved"
    )
    vm.ok("PUT", "/pools?poolid=lab", vms="111", delete="1")
    vm.ok("DELETE", "/pools?poolid=lab")
    assert vm.refused("GET", "/pools", poolid="lab") == "pool 'lab' does not exist"


# --- state


def test_the_state_survives_a_restart_and_only_its_owner_can_read_it(running: Lab) -> None:
    before, volumes = running.config(), running.content()
    upid = running.get("/nodes/pve1/tasks")[0]["upid"]
    running.restart()
    assert (running.config(), running.content()) == (before, volumes)
    assert running.get(f"/nodes/pve1/tasks/{upid}/status")["exitstatus"] == "OK"
    assert stat.S_IMODE((running.folder / "proxmox/datacenter.json").stat().st_mode) == 0o600


def test_after_a_power_cut_what_ran_boots_again_in_order_and_what_was_stopped_does_not(running: Lab) -> None:
    for vmid, onboot, startup, start in ((112, 1, "order=1", 1), (113, 1, "order=0", 0), (114, 0, "order=2", 1)):
        config = {"vmid": vmid, "memory": "512", "onboot": onboot, "startup": startup}
        running.task("POST", "/nodes/pve1/qemu", **config)
        if start:
            running.task("POST", f"/nodes/pve1/qemu/{vmid}/status/start")
    running.restart()
    assert running.machines.events == [("boot", 112), ("boot", 111)]
    states = {found["vmid"]: found["status"] for found in running.get("/cluster/resources", type="vm")}
    assert states == {111: "running", 112: "running", 113: "stopped", 114: "stopped"}


def test_what_has_not_booted_again_yet_is_not_forgotten_by_a_second_power_cut(running: Lab) -> None:
    running.client.close()
    running.open()
    running.ok("POST", "/pools", poolid="lab")  # something that saves the state before the machines are resumed
    running.restart()
    assert running.machines.events == [("boot", 111)]


def test_a_machine_that_can_not_boot_again_does_not_keep_the_others_down(running: Lab) -> None:
    running.task("POST", "/nodes/pve2/qemu", vmid=112, memory="512", onboot="1")
    running.task("POST", "/nodes/pve2/qemu/112/status/start")
    for volume in running.datacenter.state.volumes:
        volume.name = volume.name.replace("vm-111-disk-0", "lost")
    running.datacenter.save()
    running.restart()
    assert running.machines.events == [("boot", 112)]


def test_a_half_made_machine_is_gone_after_a_power_cut(vm: Lab) -> None:
    vm.datacenter.state.guests[111].lock = "create"
    vm.datacenter.save()
    vm.restart()
    assert vm.get("/cluster/resources", type="vm") == []
    assert vm.content() == {}
    assert vm.create() == "OK"


def test_a_state_file_of_something_else_is_refused_by_name(lab: Lab) -> None:
    (lab.folder / "other").mkdir()
    (lab.folder / "other" / "datacenter.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match=r"other/datacenter\.json is not the state.*down --wipe"):
        Datacenter(lab.folder / "other", [], lab.machines, lab.trust)


def test_a_full_storage_refuses_a_download(lab: Lab) -> None:
    small = Storage("local", "dir", ("import",), 500)
    lab.datacenter.hosts["pve1"] = Host("pve1", ADDRESS, 8, GIB, storages=(small,))
    assert "insufficient free space" in lab.download()
    assert not list((lab.folder / "proxmox" / "storage").rglob("*qcow2*"))


def test_a_task_that_was_asked_to_fail_leaves_nothing_half_made(lab: Lab) -> None:
    lab.download()
    lab.datacenter.faults.add(Fault("pve", message="no space left on device", times=2, task="qmcreate"))
    for _ in range(2):
        assert lab.create() == "unable to create VM 111 - no space left on device"
        assert lab.datacenter.state.guests == {}
        assert not [volume for volume in lab.datacenter.state.volumes if volume.vmid]
    assert lab.create() == "OK"


def test_a_task_without_a_log_fails_at_its_end(vm: Lab) -> None:
    vm.datacenter.faults.add(Fault("pve", message="got timeout", task="qmstart"))
    assert vm.task("POST", f"{GUEST}/status/start") == "got timeout"
    assert vm.datacenter.faults.listing() == []

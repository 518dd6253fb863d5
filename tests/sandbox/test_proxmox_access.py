"""Who may do what at the Proxmox stand-in: the rights that docs/real-lab.md grants are enough, and each is needed."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.proxmox.access import Access, as_documented
from tests.sandbox.datacenter import ADMINISTRATOR, GUEST, PROGRAM, VM, Lab

PAGE = Path(__file__).parents[2] / "docs" / "real-lab.md"
USER = "homelab@pve"
MACHINE = {name: value for name, value in VM.items() if name != "scsi1"} | {
    "serial0": "socket",
    "tags": "k3s",
    "pool": "homelab",
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    lab.play(PROGRAM)
    yield lab
    lab.close()


@pytest.fixture
def vm(lab: Lab) -> Lab:
    assert lab.download() == "OK"
    assert lab.task("POST", "/nodes/pve1/qemu", **MACHINE) == "OK"
    return lab


def take(lab: Lab, privilege: str, role: str) -> None:
    """Take one privilege out of a role, as an administrator."""
    lab.play(ADMINISTRATOR)
    kept = set(lab.get(f"/access/roles/{role}")) - {privilege}
    lab.ok("PUT", f"/access/roles/{role}", privs=",".join(kept))
    lab.play(PROGRAM)


# --- what a role on a path means


def test_a_role_holds_below_its_path_and_another_one_further_down_takes_its_place() -> None:
    access = Access(users=[USER], roles={"Reader": ["VM.Audit"], "Maker": ["VM.Allocate"]})
    access.grant("/vms", [USER], ["Reader"], propagate=True, remove=False)
    access.grant("/vms/111", [USER], ["Maker"], propagate=True, remove=False)
    assert access.permissions(USER, "/vms/112") == {"VM.Audit": True}
    assert access.permissions(USER, "/vms/111") == {"VM.Allocate": True}
    assert access.permissions(USER, "/") == {}


def test_a_role_that_does_not_propagate_holds_on_its_path_only() -> None:
    access = Access(users=[USER], roles={"Reader": ["VM.Audit"]})
    access.grant("/vms", [USER], ["Reader"], propagate=False, remove=False)
    assert access.permissions(USER, "/vms") == {"VM.Audit": False}
    assert access.permissions(USER, "/vms/111") == {}


def test_no_access_outweighs_every_other_role_on_its_path() -> None:
    access = as_documented()
    access.pools["homelab"].machines += [111, 112]
    access.grant("/vms/111", [USER], ["NoAccess", "HomelabMachines"], propagate=True, remove=False)
    assert access.permissions(USER, "/vms/111") == {}
    assert access.has(USER, "/vms/112", "VM.Allocate")


def test_a_role_on_a_pool_holds_on_its_machines_and_on_no_other_and_reaches_nothing_below_them() -> None:
    access = as_documented()
    access.pools["homelab"].machines.append(111)
    assert access.permissions(USER, "/vms/111")["VM.Allocate"] is False
    assert access.permissions(USER, "/vms/112") == access.permissions(USER, "/vms") == {"VM.Audit": True}
    access.forget(111)
    assert access.permissions(USER, "/vms/111") == {"VM.Audit": True}


def test_a_pool_without_access_outweighs_a_role_on_a_machine() -> None:
    access = as_documented()
    access.pools["homelab"].machines.append(111)
    access.grant("/vms/111", [USER], ["HomelabMachines"], propagate=True, remove=False)
    access.grant("/pool/homelab", [USER], ["NoAccess"], propagate=True, remove=False)
    assert access.permissions(USER, "/vms/111") == {}


def test_a_path_is_not_below_one_that_its_name_only_begins_with() -> None:
    access = Access(users=[USER], roles={"Reader": ["VM.Audit"]})
    access.grant("/vms/11", [USER], ["Reader"], propagate=True, remove=False)
    assert access.permissions(USER, "/vms/111") == {}


def test_the_administrator_may_do_everything_and_a_token_what_its_user_may() -> None:
    access = as_documented()
    assert access.has("root@pam!any", "/access", "Permissions.Modify")
    assert access.permissions(f"{USER}!pulumi", "/nodes") == access.permissions(USER, "/nodes")


# --- the page for operators


def pveum() -> tuple[dict[str, set[str]], dict[str, tuple[str, bool]]]:
    """The roles and the grants of the commands in docs/real-lab.md."""
    text = PAGE.read_text().replace("$vm.", "VM.Config.")
    roles = {name: set(privs.split()) for name, privs in re.findall(r'pveum role add (\w+) --privs "([^"]+)"', text)}
    lines = re.findall(rf"pveum acl modify (\S+) --users {USER} --roles (\w+)( --propagate 0)?", text)
    return roles, {path: (role, not reach) for path, role, reach in lines}


def test_the_sandboxs_operator_has_done_what_the_page_says() -> None:
    roles, grants = pveum()
    access = as_documented()
    assert {role: set(privileges) for role, privileges in access.roles.items()} == roles
    assert {grant.path: (grant.role, grant.propagate) for grant in access.grants} == grants
    assert len(grants) == 8
    assert [f"pveum pool add {pool}" in PAGE.read_text() for pool in access.pools] == [True]


# --- the life of a machine, with each right taken away


def create(lab: Lab) -> str:
    return lab.refusal("POST", "/nodes/pve1/qemu", **{**MACHINE, "vmid": "112", "name": "other"})


def put(**options: str) -> Callable[[Lab], str]:
    return lambda lab: lab.refusal("PUT", f"{GUEST}/config", **options)


def call(method: str, path: str, **given: str) -> Callable[[Lab], str]:
    return lambda lab: lab.refusal(method, path, **given)


def download(lab: Lab) -> str:
    wanted = {"content": "import", "filename": "b.qcow2", "url": f"{lab.images}/debian.qcow2"}
    return lab.refusal("POST", "/nodes/pve1/storage/local/download-url", **wanted)


JOB = {"id": "homelab", "pool": "homelab", "storage": "backups", "schedule": "02:00"}
RULE = {"type": "in", "action": "ACCEPT"}
NEEDED = [
    ("HomelabMachines", "VM.Config.CPU", "/vms/112", create),
    ("HomelabMachines", "VM.Config.Memory", "/vms/112", create),
    ("HomelabMachines", "VM.Config.Options", "/vms/112", create),
    ("HomelabMachines", "VM.Config.HWType", "/vms/112", create),
    ("HomelabMachines", "VM.Config.Network", "/vms/112", create),
    ("HomelabMachines", "VM.Config.Disk", "/vms/112", create),
    ("HomelabDisks", "Datastore.AllocateSpace", "/storage/local-lvm", create),
    ("HomelabBridges", "SDN.Use", "/sdn/zones/localnetwork/vmbr0", create),
    ("HomelabImages", "Datastore.AllocateTemplate", "/storage/local", download),
    ("HomelabMachines", "Pool.Audit", "/pool/homelab", call("GET", "/pools", poolid="homelab")),
    ("HomelabMachines", "VM.Backup", "/pool/homelab", call("POST", "/cluster/backup", **JOB)),
    ("HomelabMachines", "VM.Config.Network", "/vms/111", call("PUT", f"{GUEST}/firewall/options", enable="1")),
    ("HomelabMachines", "VM.Config.Network", "/vms/111", call("POST", f"{GUEST}/firewall/rules", **RULE)),
    ("HomelabBackups", "Datastore.Allocate", "/storage/backups", call("POST", "/cluster/backup", **JOB)),
    ("HomelabDatacenter", "Sys.Modify", "/", call("POST", "/cluster/backup", **JOB)),
    ("HomelabDatacenter", "Sys.Modify", "/", call("POST", "/cluster/firewall/groups", group="nodes")),
    ("HomelabDatacenter", "Sys.Modify", "/", put(startup="order=1")),
    ("HomelabDatacenter", "Sys.Audit", "/", call("GET", "/cluster/backup")),
    ("HomelabDatacenter", "Sys.Audit", "/", call("GET", "/cluster/firewall/groups/nodes")),
    ("HomelabDatacenter", "Sys.Audit", "/", call("GET", "/cluster/ha/resources")),
    ("HomelabReader", "VM.Audit", "/vms/112", call("GET", "/nodes/pve1/qemu/112/config")),
    ("HomelabMachines", "VM.Config.CPU", "/vms/111", put(cores="4")),
    ("HomelabMachines", "VM.Config.Memory", "/vms/111", put(memory="8192")),
    ("HomelabMachines", "VM.Config.Options", "/vms/111", put(description="x")),
    ("HomelabMachines", "VM.Config.Options", "/vms/111", put(tags="x")),
    ("HomelabMachines", "VM.Config.HWType", "/vms/111", put(delete="serial0")),
    ("HomelabMachines", "VM.Config.Network", "/vms/111", put(net0="virtio=BC:24:11:00:00:0C,bridge=vmbr0")),
    ("HomelabMachines", "VM.Config.Disk", "/vms/111", put(scsi2="local-lvm:8")),
    ("HomelabMachines", "VM.Config.CDROM", "/vms/111", put(delete="ide2")),
    ("HomelabMachines", "VM.Config.Cloudinit", "/vms/111", put(delete="ide2")),
    ("HomelabDisks", "Datastore.AllocateSpace", "/storage/local-lvm", put(scsi2="local-lvm:8")),
    ("HomelabMachines", "VM.Config.Disk", "/vms/111", call("PUT", f"{GUEST}/resize", disk="scsi0", size="50G")),
    (
        "HomelabDisks",
        "Datastore.AllocateSpace",
        "/storage/local-lvm",
        call("PUT", f"{GUEST}/resize", disk="scsi0", size="50G"),
    ),
    ("HomelabMachines", "VM.PowerMgmt", "/vms/111", call("POST", f"{GUEST}/status/start")),
    ("HomelabMachines", "VM.PowerMgmt", "/vms/111", call("POST", f"{GUEST}/status/stop")),
    ("HomelabMachines", "VM.Allocate", "/vms/111", call("DELETE", GUEST)),
    (
        "HomelabImages",
        "Datastore.Allocate",
        "/storage/local",
        call("DELETE", "/nodes/pve1/storage/local/content/local:import/debian.qcow2"),
    ),
]


@pytest.mark.parametrize(
    ("role", "privilege", "path", "ask"), NEEDED, ids=[f"{number}-{row[1]}" for number, row in enumerate(NEEDED)]
)
def test_without_a_right_the_call_is_refused_with_its_name_and_changes_nothing(
    vm: Lab, role: str, privilege: str, path: str, ask: Callable[[Lab], str]
) -> None:
    take(vm, privilege, role)
    before = vm.saved()
    assert ask(vm) == f"Permission check failed ({path}, {privilege})"
    assert vm.saved() == before


def test_without_the_right_to_make_machines_none_is_made_and_a_host_does_not_say_where_it_is_missing(lab: Lab) -> None:
    assert lab.download() == "OK"
    take(lab, "VM.Allocate", "HomelabMachines")
    assert create(lab) == "Permission check failed"


def test_a_token_whose_rights_end_at_a_pool_makes_no_machine_outside_of_it_and_only_reads_one(vm: Lab) -> None:
    outside = {**MACHINE, "vmid": "112"}
    del outside["pool"]
    assert vm.refusal("POST", "/nodes/pve1/qemu", **outside) == "Permission check failed"
    elsewhere = {**outside, "pool": "nowhere"}
    assert vm.refusal("POST", "/nodes/pve1/qemu", **elsewhere) == "Permission check failed"
    vm.play(ADMINISTRATOR)
    assert vm.task("POST", "/nodes/pve1/qemu", **outside) == "OK"
    vm.play(PROGRAM)
    pools = {entry["vmid"]: entry.get("pool") for entry in vm.get("/cluster/resources", type="vm")}
    assert pools == {111: "homelab", 112: None}
    assert vm.refusal("POST", "/nodes/pve1/qemu/112/status/start") == (
        "Permission check failed (/vms/112, VM.PowerMgmt)"
    )
    assert vm.task("DELETE", GUEST) == "OK"
    # Without the right to read all machines this would be a refusal, which the provider takes for a fault.
    assert "does not exist" in vm.refused("GET", f"{GUEST}/status/current")


def test_every_privilege_of_the_page_is_one_that_some_call_needs() -> None:
    roles, _ = pveum()
    needed = {(role, privilege) for role, privilege, _, _ in NEEDED}
    # Reading hosts and storages is shown below; having a host download is refused without a name.
    shown = {
        ("HomelabMachines", "VM.Allocate"),
        ("HomelabMachines", "VM.Audit"),
        ("HomelabBackups", "Datastore.Audit"),
        ("HomelabHosts", "Sys.Audit"),
        ("HomelabHosts", "Sys.AccessNetwork"),
        ("HomelabDisks", "Datastore.Audit"),
        ("HomelabImages", "Datastore.Audit"),
        ("HomelabImages", "Datastore.AllocateSpace"),
    }
    assert {(role, privilege) for role, held in roles.items() for privilege in held} == needed | shown


def test_a_download_needs_the_hosts_network_by_the_new_right_or_by_the_old_ones(lab: Lab) -> None:
    take(lab, "Sys.AccessNetwork", "HomelabHosts")
    take(lab, "Sys.Modify", "HomelabDatacenter")
    wanted = {"url": f"{lab.images}/debian.qcow2"}
    assert lab.refusal("GET", "/nodes/pve1/query-url-metadata", **wanted) == "Permission check failed"
    assert download(lab) == "Permission check failed"
    lab.play(ADMINISTRATOR)
    lab.ok("PUT", "/access/roles/HomelabDatacenter", privs="Sys.Audit,Sys.Modify")
    lab.play(PROGRAM)
    assert lab.download() == "OK"


def test_lists_leave_out_what_the_token_may_not_see(vm: Lab) -> None:
    hosts = vm.get("/nodes")
    assert all(host["maxcpu"] == 8 for host in hosts)
    assert [entry["vmid"] for entry in vm.get("/cluster/resources", type="vm")] == [111]
    for role in ("HomelabMachines", "HomelabReader"):
        take(vm, "VM.Audit", role)
    take(vm, "Sys.Audit", "HomelabHosts")
    for privilege in ("Datastore.Audit", "Datastore.AllocateSpace"):
        take(vm, privilege, "HomelabDisks")
    take(vm, "SDN.Use", "HomelabBridges")
    assert vm.get("/cluster/resources", type="vm") == []
    assert vm.get("/nodes/pve1/qemu") == []
    assert [set(host) for host in vm.get("/nodes")] == [{"node", "status", "id", "type"}] * 3
    assert [storage["storage"] for storage in vm.get("/nodes/pve1/storage")] == ["local", "backups"]
    assert vm.get("/nodes/pve1/network", type="any_bridge") == []


def test_an_image_can_be_imported_by_whoever_may_read_its_storage(lab: Lab) -> None:
    assert lab.download() == "OK"
    for privilege in ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit"):
        take(lab, privilege, "HomelabImages")
    assert (
        lab.refusal("POST", "/nodes/pve1/qemu", **MACHINE)
        == "Permission check failed (/storage/local, Datastore.AllocateSpace|Datastore.Audit)"
    )


# --- asking and changing


def test_a_token_asks_what_it_may_do(lab: Lab) -> None:
    held = lab.get("/access/permissions")
    storages = {f"/storage/{name}" for name in ("local", "local-lvm", "backups")}
    assert set(held) == {"/", "/pool/homelab", "/vms", *storages, "/nodes", "/sdn/zones/localnetwork"}
    assert held["/nodes"] == {"Sys.AccessNetwork": 1, "Sys.Audit": 1}
    one = lab.get("/access/permissions", path="/sdn/zones/localnetwork/vmbr0/20")
    assert one == {"/sdn/zones/localnetwork/vmbr0/20": {"SDN.Use": 1}}
    assert lab.get("/access/permissions", path="/pool") == {"/pool": {}}


@pytest.mark.parametrize(
    ("method", "path", "given", "right"),
    [
        ("PUT", "/access/roles/HomelabHosts", {"privs": "Sys.Modify"}, "/access, Sys.Modify"),
        ("POST", "/access/roles", {"roleid": "Mine"}, "/access, Sys.Modify"),
        ("PUT", "/access/acl", {"path": "/", "users": USER, "roles": "Administrator"}, "/access, Permissions.Modify"),
        ("GET", "/access/acl", {}, "/access, Sys.Audit"),
        ("POST", "/pools", {"poolid": "mine"}, "/pool/mine, Pool.Allocate"),
        ("PUT", "/pools", {"poolid": "homelab", "vms": "112"}, "/pool/homelab, Pool.Allocate"),
        ("POST", "/cluster/ha/resources", {"sid": "vm:111"}, "/, Sys.Console"),
    ],
)
def test_the_program_cannot_give_itself_anything(
    lab: Lab, method: str, path: str, given: dict[str, Any], right: str
) -> None:
    assert lab.refusal(method, path, **given) == f"Permission check failed ({right})"


def test_an_administrator_takes_a_grant_away_and_gives_it_back(vm: Lab) -> None:
    grant = {"path": "/pool/homelab", "users": USER, "roles": "HomelabMachines"}
    vm.play(ADMINISTRATOR)
    vm.ok("PUT", "/access/acl", **grant, delete="1")
    vm.play(PROGRAM)
    assert vm.refusal("POST", f"{GUEST}/status/start") == "Permission check failed (/vms/111, VM.PowerMgmt)"
    vm.play(ADMINISTRATOR)
    vm.ok("PUT", "/access/acl", **grant)
    vm.play(PROGRAM)
    assert vm.task("POST", f"{GUEST}/status/start") == "OK"


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ("/access/acl", {"path": "/vms", "users": "ann@pve", "roles": "NoAccess"}, "user 'ann@pve' does not exist"),
        ("/access/acl", {"path": "/vms", "users": USER, "roles": "Nobody"}, "role 'Nobody' does not exist"),
        ("/access/roles/HomelabHosts", {"privs": "Sys.Everything"}, "invalid privilege 'Sys.Everything'"),
        (
            "/access/roles/Administrator",
            {"privs": "VM.Audit"},
            "auto-generated role 'Administrator' cannot be modified",
        ),
    ],
)
def test_access_that_makes_no_sense_is_refused_by_name(
    lab: Lab, path: str, given: dict[str, Any], message: str
) -> None:
    lab.play(ADMINISTRATOR)
    assert lab.refused("PUT", path, **given) == message


def test_access_outlives_a_power_cut(lab: Lab) -> None:
    take(lab, "Sys.Audit", "HomelabHosts")
    lab.restart()
    lab.play(PROGRAM)
    assert lab.get("/access/permissions")["/nodes"] == {"Sys.AccessNetwork": 1}

"""What the Proxmox stand-in does for machines that exist: firewall, backup jobs, availability."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.proxmox.schema import UNKNOWN
from tests.sandbox.datacenter import GUEST, Lab

GROUPS = "/cluster/firewall/groups"
JOB = {"id": "homelab", "pool": "homelab", "storage": "backups", "schedule": "02:00", "prune-backups": "keep-last=7"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    for vmid, node in ((111, "pve1"), (112, "pve2"), (113, "pve3")):
        assert lab.task("POST", f"/nodes/{node}/qemu", vmid=vmid, memory="512", pool="homelab") == "OK"
    yield lab
    lab.close()


# --- the firewall


def rule(lab: Lab, place: str, **fields: str) -> None:
    lab.ok("POST", place, **{"type": "in", "action": "ACCEPT", "enable": "1", **fields})


def comments(lab: Lab, place: str) -> list[str]:
    return [entry["comment"] for entry in lab.get(place)]


def test_a_new_rule_is_the_first_and_the_others_move_down(lab: Lab) -> None:
    lab.ok("POST", GROUPS, group="nodes", comment="of the lab")
    for comment in ("c", "b", "a"):
        rule(lab, f"{GROUPS}/nodes", comment=comment)
    assert [(entry["pos"], entry["comment"]) for entry in lab.get(f"{GROUPS}/nodes")] == [(0, "a"), (1, "b"), (2, "c")]
    assert lab.get(f"{GROUPS}/nodes/1") | {"digest": ""} == {
        "pos": "1",
        "type": "in",
        "action": "ACCEPT",
        "enable": 1,
        "comment": "b",
        "digest": "",
    }


@pytest.mark.parametrize(
    ("position", "target", "after"), [(0, 2, "bac"), (2, 0, "cab"), (0, 3, "bca"), (1, 1, "abc"), (0, 9, "bca")]
)
def test_a_rule_moves_before_the_one_that_was_at_its_new_place(
    lab: Lab, position: int, target: int, after: str
) -> None:
    place = f"{GUEST}/firewall/rules"
    for comment in "cba":
        rule(lab, place, comment=comment)
    lab.ok("PUT", f"{place}/{position}", moveto=str(target))
    assert "".join(comments(lab, place)) == after


def test_an_empty_field_is_none_and_what_is_deleted_is_gone(lab: Lab) -> None:
    place = f"{GUEST}/firewall/rules"
    rule(lab, place, source="10.0.0.1,10.0.0.2", proto="tcp", dport="22", comment="", dest="")
    assert set(lab.get(f"{place}/0")) == {"type", "action", "enable", "source", "proto", "dport", "pos", "digest"}
    lab.ok("PUT", f"{place}/0", delete="dport", source="")
    assert set(lab.get(f"{place}/0")) == {"type", "action", "enable", "proto", "pos", "digest"}
    lab.ok("DELETE", f"{place}/0")
    assert lab.get(place) == []
    assert lab.refused("GET", f"{place}/0") == "no rule at position 0"


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"dport": "22"}, {"proto": "missing property - 'dport' requires this property"}),
        ({"dport": "22", "proto": "icmp"}, {"dport": "protocol 'icmp' does not support ports"}),
        ({"dport": "70000", "proto": "tcp"}, {"dport": "invalid port '70000'"}),
        ({"dport": "90:80", "proto": "tcp"}, {"dport": "backwards range '90:80' not allowed"}),
        ({"sport": "1,2:3," * 5 + "9", "proto": "tcp"}, {"sport": "too many entries in port list (> 15 numbers)"}),
        ({"source": "10.0.0.300"}, {"source": "invalid IP address: 10.0.0.300"}),
        ({"source": "10.0.0.1-10.0.0.9,10.0.0.20"}, {"source": "you can't use a range in a list"}),
        ({"iface": "eth0"}, {"iface": r"value does not match the regex pattern 'net\d+'"}),
        ({"action": "PERMIT"}, {"action": "unknown action 'PERMIT'"}),
        ({"type": "forward"}, {"type": "invalid rule type 'forward' for rule_env 'vm'"}),
        ({"port": "22"}, {"port": UNKNOWN}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_field(
    lab: Lab, fields: dict[str, str], faults: dict[str, str]
) -> None:
    place = f"{GUEST}/firewall/rules"
    assert lab.faults("POST", place, **{"type": "in", "action": "ACCEPT", **fields}) == faults
    assert lab.get(place) == []


def test_a_group_is_used_by_machines_and_not_by_groups(lab: Lab) -> None:
    lab.ok("POST", GROUPS, group="nodes")
    rule(lab, f"{GUEST}/firewall/rules", type="group", action="nodes", iface="net0")
    assert lab.faults("POST", f"{GROUPS}/nodes", type="group", action="nodes") == {
        "type": "invalid rule type 'group' for rule_env 'group'"
    }
    lab.ok("POST", GROUPS, group="servers", rename="nodes", comment="other")
    assert lab.get(f"{GUEST}/firewall/rules")[0]["action"] == "servers"
    assert [(entry["group"], entry["comment"]) for entry in lab.get(GROUPS)] == [("servers", "other")]


def test_a_group_is_made_once_and_deleted_when_it_is_empty(lab: Lab) -> None:
    lab.ok("POST", GROUPS, group="nodes")
    assert lab.faults("POST", GROUPS, group="nodes") == {"group": "Security group 'nodes' already exists"}
    rule(lab, f"{GROUPS}/nodes")
    assert lab.refused("DELETE", f"{GROUPS}/nodes") == "Security group 'nodes' is not empty"
    lab.ok("DELETE", f"{GROUPS}/nodes/0")
    lab.ok("DELETE", f"{GROUPS}/nodes")
    assert lab.refused("GET", f"{GROUPS}/nodes") == "no such security group 'nodes'"


def test_a_machines_firewall_goes_with_the_machine_and_outlives_a_power_cut(lab: Lab) -> None:
    rule(lab, f"{GUEST}/firewall/rules")
    lab.ok("PUT", f"{GUEST}/firewall/options", enable="1", policy_in="DROP")
    lab.restart()
    assert lab.get(f"{GUEST}/firewall/options") | {"digest": ""} == {"enable": 1, "policy_in": "DROP", "digest": ""}
    assert len(lab.get(f"{GUEST}/firewall/rules")) == 1
    assert lab.task("DELETE", GUEST) == "OK"
    assert lab.task("POST", "/nodes/pve1/qemu", vmid=111, memory="512") == "OK"
    assert set(lab.get(f"{GUEST}/firewall/options")) == {"digest"}
    assert lab.get(f"{GUEST}/firewall/rules") == []


def test_a_host_keeps_a_firewall_without_asking_whether_there_is_the_machine(lab: Lab) -> None:
    place = "/nodes/pve1/qemu/999/firewall"
    assert set(lab.get(f"{place}/options")) == {"digest"}
    rule(lab, f"{place}/rules", comment="early")
    assert comments(lab, f"{place}/rules") == ["early"]


# --- backup jobs


def test_a_job_is_told_as_it_was_made_with_what_it_keeps_as_an_object(lab: Lab) -> None:
    lab.ok("POST", "/cluster/backup", **JOB)
    assert lab.get("/cluster/backup/homelab") == {
        **JOB,
        "prune-backups": {"keep-last": "7"},
        "enabled": 1,
        "type": "vzdump",
    }
    assert lab.refused("POST", "/cluster/backup", **JOB) == "Job 'homelab' already exists"
    lab.ok("PUT", "/cluster/backup/homelab", schedule="sat 03:00", delete="prune-backups")
    assert lab.get("/cluster/backup")[0]["schedule"] == "sat 03:00"
    assert "prune-backups" not in lab.get("/cluster/backup")[0]
    lab.ok("DELETE", "/cluster/backup/homelab")
    for method in ("GET", "DELETE"):
        assert lab.faults(method, "/cluster/backup/homelab") == {"id": "No such job 'homelab'"}
    assert lab.refused("PUT", "/cluster/backup/homelab", schedule="01:00") == "no such vzdump job"


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"pool": None}, {"vmid": "property is missing"}),
        ({"vmid": "111"}, {"pool": "option conflicts with option 'vmid'"}),
        ({"schedule": "soon"}, {"schedule": "invalid format - unable to parse calendar event"}),
        ({"mode": "fast"}, {"mode": "value 'fast' does not have a value in the enumeration 'snapshot, suspend, stop'"}),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(lab: Lab, changes: dict[str, Any], faults: dict[str, str]) -> None:
    given = {name: value for name, value in {**JOB, **changes}.items() if value is not None}
    assert lab.faults("POST", "/cluster/backup", **given) == faults
    assert lab.get("/cluster/backup") == []


# --- availability


def running(lab: Lab, vmid: int = 111) -> str:
    (state,) = [one["status"] for one in lab.get("/cluster/resources", type="vm") if one["vmid"] == vmid]
    return str(state)


def test_a_machine_in_the_managers_hands_runs_when_it_should(lab: Lab) -> None:
    lab.ok("POST", "/cluster/ha/resources", sid="vm:111", state="started", max_restart="1")
    assert running(lab) == "running"
    assert lab.get(f"{GUEST}/status/current")["ha"] == {"managed": 1, "state": "started"}
    lab.ok("PUT", "/cluster/ha/resources/vm:111", state="stopped")
    assert running(lab) == "stopped"


def test_who_stops_a_machine_tells_the_manager(lab: Lab) -> None:
    lab.ok("POST", "/cluster/ha/resources", sid="111")
    assert lab.task("POST", f"{GUEST}/status/stop") == "OK"
    assert lab.get("/cluster/ha/resources/vm:111")["state"] == "stopped"
    assert lab.task("POST", f"{GUEST}/status/start") == "OK"
    assert lab.get("/cluster/ha/resources/111")["state"] == "started"


def test_a_resource_is_of_a_machine_that_exists_and_there_once(lab: Lab) -> None:
    assert lab.refused("POST", "/cluster/ha/resources", sid="vm:999") == "resource 'vm:999' does not exist in cluster"
    lab.ok("POST", "/cluster/ha/resources", sid="vm:111")
    assert "resource ID 'vm:111' already defined" in lab.refused("POST", "/cluster/ha/resources", sid="vm:111")
    assert lab.refused("GET", "/cluster/ha/resources/vm:112") == "no such resource 'vm:112'"
    assert lab.refused("DELETE", "/cluster/ha/resources/vm:112") == "cannot delete service 'vm:112', not HA managed!"


def test_a_machine_that_is_managed_is_deleted_only_with_what_knows_of_it(lab: Lab) -> None:
    for vmid in (111, 112):
        lab.ok("POST", "/cluster/ha/resources", sid=f"vm:{vmid}", state="stopped")
    rule = {"rule": "apart", "type": "resource-affinity", "affinity": "negative", "resources": "vm:112,vm:111"}
    lab.ok("POST", "/cluster/ha/rules", **rule)
    assert "used in HA resources and purge parameter not set" in lab.refused("DELETE", GUEST)
    assert lab.task("DELETE", f"{GUEST}?purge=1") == "OK"
    assert lab.get("/cluster/ha/rules/apart")["resources"] == "vm:112"
    lab.ok("DELETE", "/cluster/ha/resources/vm:112")
    assert lab.get("/cluster/ha/rules") == []


def test_a_rule_that_can_never_hold_is_refused(lab: Lab) -> None:
    rule = {"rule": "apart", "type": "resource-affinity", "affinity": "negative"}
    lab.ok("POST", "/cluster/ha/resources", sid="vm:111", state="stopped")
    assert lab.refused("POST", "/cluster/ha/rules", **rule, resources="vm:111,vm:112") == (
        "cannot use unmanaged resource(s) vm:112."
    )
    answer = lab.request("POST", "/cluster/ha/rules", **rule, resources="vm:111")
    assert answer.json()["errors"] == {"resources": "rule is ineffective as there are less than two resources"}
    assert lab.task("POST", "/nodes/pve1/qemu", vmid=114, memory="512") == "OK"
    for vmid in (112, 113, 114):
        lab.ok("POST", "/cluster/ha/resources", sid=f"vm:{vmid}", state="stopped")
    answer = lab.request("POST", "/cluster/ha/rules", **rule, resources="vm:111,vm:112,vm:113,vm:114")
    assert answer.json()["errors"] == {"resources": "rule defines more resources than available nodes"}
    lab.ok("POST", "/cluster/ha/rules", **rule, resources="vm:113,vm:111,vm:112", disable="0")
    assert lab.get("/cluster/ha/rules/apart")["resources"] == "vm:111,vm:112,vm:113"
    assert lab.refused("GET", "/cluster/ha/rules/together") == "no such ha rule 'together'"


def test_a_shared_storage_is_the_same_one_on_each_host(lab: Lab) -> None:
    lab.ok("PUT", f"{GUEST}/config", scsi1="ceph:20")
    used = {node: lab.get(f"/nodes/{node}/storage/ceph/status")["used"] for node in ("pve1", "pve2", "pve3")}
    assert len(set(used.values())) == 1
    assert used["pve1"] == sum(lab.content("ceph").values()) > 0

"""A Proxmox that goes wrong: what failed is named, and the next up ends in the same lab, with nothing doubled."""

import pytest

from tests.sandbox.lab import TestLab

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]


def test_machines_that_were_refused_are_named_and_made_by_the_next_up(lab: TestLab) -> None:
    lab.run("sandbox", "up")
    # The provider tries three times for each machine.
    struck = lab.run("sandbox", "fault", "pve", "--method", "POST", "--path", "/nodes/pve1/qemu", "--times", "6")
    assert "pve POST /nodes/pve1/qemu: 500" in struck.output
    failed = lab.run("lab", "up", expect=1)
    assert "#3: error creating VM: received an HTTP 500 response" in failed.output
    assert "VmLegacy k3s-server-1" in failed.output
    assert "VmLegacy k3s-agent-1" in failed.output
    assert "nothing is to go wrong" in lab.run("sandbox", "fault").output

    lab.run("sandbox", "fault", "pve", "--task", "qmcreate", "--message", "no space left on device")
    midway = lab.run("lab", "up", expect=1)
    assert midway.output.count("* VM create: task") == 1
    assert "no space left on device" in midway.output

    assert "5 of 5 nodes Ready" in lab.up().output
    assert sorted(machine["vmid"] for machine in lab.machines()) == [111, 112, 113, 121, 122]
    lab.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


# Every request that makes something, and every one that deletes something.
CREATIONS = (
    "/nodes/pve1/storage/local/download-url",
    "/nodes/pve1/qemu",
    "/nodes/pve2/qemu/112/status/start",
    "/cluster/firewall/groups",
    "/cluster/firewall/groups/homelab",
    "/nodes/pve2/qemu/112/firewall/rules",
    "/cluster/backup",
)
DELETIONS = (
    "/nodes/pve1/storage/local/content/*",
    "/nodes/pve3/qemu/113",
    "/cluster/firewall/groups/homelab",
    "/nodes/pve2/qemu/112/firewall/rules/0",
    "/cluster/backup/homelab",
)


def until_it_is_done(lab: TestLab, command: str, within: int) -> list[str]:
    """Run a command until it succeeds, and return what the failed runs said."""
    said: list[str] = []
    for _ in range(within):
        done = lab.run("lab", command, expect=None)
        if done.code == 0:
            return said
        said.append(done.output)
    raise AssertionError(f"{command} did not succeed in {within} runs:\n{said[-1]}")


@pytest.mark.timeout(400)
def test_whatever_is_lost_while_it_is_made_or_deleted_is_there_once_or_gone_in_the_end(lab: TestLab) -> None:
    lab.run("sandbox", "up")
    for path in CREATIONS:
        lab.run("sandbox", "fault", "pve", "--method", "POST", "--path", path, "--after")
    said = until_it_is_done(lab, "up", within=5)
    for named in ("File (compute-image-pve1)", "GroupLegacy (safeguards-group)", "Job (safeguards-backups)"):
        assert named in said[0]
    assert "safeguards-backups: is there from an earlier run; it is taken over" in "".join(said)
    assert "nothing is to go wrong" in lab.run("sandbox", "fault").output
    assert sorted(machine["vmid"] for machine in lab.machines()) == [111, 112, 113, 121, 122]
    assert [job["id"] for job in lab.proxmox("GET", "/cluster/backup")] == ["homelab"]
    assert [rule["comment"] for rule in lab.proxmox("GET", "/cluster/firewall/groups/homelab")] == [
        *("nodes", "the API", "operators", "ping")
    ]
    assert len(lab.proxmox("GET", "/nodes/pve2/qemu/112/firewall/rules")) == 1
    lab.run("lab", "preview", "--", "--refresh", "--expect-no-changes")

    for path in DELETIONS:
        lab.run("sandbox", "fault", "pve", "--method", "DELETE", "--path", path, "--after")
    assert until_it_is_done(lab, "destroy", within=5)
    assert "nothing is to go wrong" in lab.run("sandbox", "fault").output
    assert lab.machines() == []
    assert lab.proxmox("GET", "/cluster/backup") == lab.proxmox("GET", "/cluster/firewall/groups") == []
    images = lab.proxmox("GET", "/nodes/pve1/storage/local/content")
    assert images == []


AGENT = "/nodes/pve1/qemu/121"
GROUP = "/cluster/firewall/groups/homelab"


@pytest.mark.parametrize(
    ("path", "by_hand", "struck", "named"),
    [
        (f"{AGENT}/config", {"description": "by hand"}, f"{AGENT}/config", "VmLegacy (k3s-agent-1)"),
        (f"{AGENT}/firewall/options", {"enable": 0}, f"{AGENT}/firewall/options", "(safeguards-firewall-k3s-agent-1)"),
        (f"{AGENT}/firewall/rules/0", {"enable": 0}, f"{AGENT}/firewall/rules/0", "(safeguards-rules-k3s-agent-1)"),
        (f"{GROUP}/0", {"comment": "by hand"}, f"{GROUP}/*", "GroupLegacy (safeguards-group)"),
        ("/cluster/backup/homelab", {"schedule": "04:00"}, "/cluster/backup/homelab", "Job (safeguards-backups)"),
    ],
)
def test_a_change_that_is_refused_is_named_and_made_by_the_next_up(
    provisioned: TestLab, path: str, by_hand: dict[str, object], struck: str, named: str
) -> None:
    before = provisioned.proxmox("GET", path)
    provisioned.proxmox("PUT", path, **by_hand)
    provisioned.run("sandbox", "fault", "pve", "--method", "PUT", "--path", struck, "--times", "9")
    try:
        refused = provisioned.run("lab", "up", "--", "--refresh", expect=1)
    finally:
        provisioned.run("sandbox", "fault", "--clear")
    assert named in refused.output
    assert "this was asked for by `sandbox fault`" in refused.output
    assert "what Proxmox has was read again" in provisioned.up().output
    assert provisioned.proxmox("GET", path) == before


def test_without_quorum_nothing_is_changed_and_everything_can_still_be_read(provisioned: TestLab) -> None:
    provisioned.run("sandbox", "fault", "pve", "--no-quorum")
    try:
        provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")
        assert "nothing to mend" in provisioned.run("lab", "doctor").output
        refused = provisioned.run("lab", "destroy", expect=1)
    finally:
        provisioned.run("sandbox", "fault", "--clear")
    assert "no quorum" in refused.output
    assert len(provisioned.machines()) == 5
    assert "5 of 5 nodes Ready" in provisioned.up().output
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_a_machine_that_a_backup_holds_is_named_and_changed_when_it_is_looked_at_again(provisioned: TestLab) -> None:
    machine = "/nodes/pve2/qemu/122/config"
    provisioned.proxmox("PUT", machine, description="by hand")
    provisioned.run("sandbox", "fault", "pve", "--locked", "--times", "9")
    try:
        refused = provisioned.run("lab", "up", "--", "--refresh", expect=1)
    finally:
        provisioned.run("sandbox", "fault", "--clear")
    assert "VM is locked (backup)" in refused.output
    assert "k3s-agent-2" in refused.output
    assert provisioned.proxmox("GET", machine)["description"].startswith("by hand")
    # The provider notes a change that failed as made; only a look at the machine tells.
    assert "what Proxmox has was read again" in provisioned.up().output
    assert "Managed by Pulumi" in provisioned.proxmox("GET", machine)["description"]
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_answers_that_are_late_only_take_longer(provisioned: TestLab) -> None:
    late = ("--status", "0", "--delay", "2", "--times", "3")
    provisioned.run("sandbox", "fault", "pve", *late)
    slow = provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")
    assert slow.seconds > 2
    assert "nothing is to go wrong" in provisioned.run("sandbox", "fault").output

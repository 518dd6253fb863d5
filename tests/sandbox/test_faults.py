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
    provisioned.run("lab", "up", "--", "--refresh")
    assert "Managed by Pulumi" in provisioned.proxmox("GET", machine)["description"]
    provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")


def test_answers_that_are_late_only_take_longer(provisioned: TestLab) -> None:
    late = ("--status", "0", "--delay", "2", "--times", "3")
    provisioned.run("sandbox", "fault", "pve", *late)
    slow = provisioned.run("lab", "preview", "--", "--refresh", "--expect-no-changes")
    assert slow.seconds > 2
    assert "nothing is to go wrong" in provisioned.run("sandbox", "fault").output
